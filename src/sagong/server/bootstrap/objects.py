"""The default policy as API objects, in the order in which they are to be made."""

from collections.abc import Iterable, Iterator
from typing import NewType

from sagong.api.types import Obj
from sagong.server.bootstrap.policy.cluster_roles import (
    AGGREGATED_ROLES,
    AGGREGATION_LABELS,
    CLUSTER_ROLE_SUBJECTS,
    CLUSTER_ROLES,
)
from sagong.server.bootstrap.policy.controller_roles import CONTROLLER_ROLES
from sagong.server.bootstrap.policy.flow_control import FLOW_SCHEMAS, PRIORITY_LEVELS
from sagong.server.bootstrap.policy.namespaced_roles import ROLE_BINDINGS, ROLES
from sagong.server.bootstrap.policy.notation import RBAC, account
from sagong.server.bootstrap.policy.own_roles import OWN_BINDINGS, OWN_CLUSTER_ROLES

# A version-less resource name, as ``clusterroles.rbac.authorization.k8s.io``.
ResourceName = NewType("ResourceName", str)

NAMESPACES = ResourceName("namespaces")
CLUSTER_ROLE = ResourceName(f"clusterroles.{RBAC}")
CLUSTER_ROLE_BINDING = ResourceName(f"clusterrolebindings.{RBAC}")
ROLE = ResourceName(f"roles.{RBAC}")
ROLE_BINDING = ResourceName(f"rolebindings.{RBAC}")
PRIORITY_CLASS = ResourceName("priorityclasses.scheduling.k8s.io")
FLOW_SCHEMA = ResourceName("flowschemas.flowcontrol.apiserver.k8s.io")
PRIORITY_LEVEL = ResourceName("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io")

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
FLOW_AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"

SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

_RBAC_VERSION = f"{RBAC}/v1"
_FLOW_VERSION = "flowcontrol.apiserver.k8s.io/v1"


def namespaces() -> Iterator[tuple[ResourceName, Obj]]:
    """The namespaces that everything else may live in."""
    for name in SYSTEM_NAMESPACES:
        yield NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def policies() -> Iterator[tuple[ResourceName, Obj]]:
    """Everything else: roles, bindings, priorities, fairness."""
    yield from ((CLUSTER_ROLE, role) for role in cluster_roles())
    yield from ((CLUSTER_ROLE_BINDING, binding) for binding in _cluster_role_bindings())
    yield from _own_policies()
    yield from ((ROLE, role) for role in _roles())
    yield from ((ROLE_BINDING, binding) for binding in _role_bindings())
    yield from ((PRIORITY_CLASS, priority) for priority in _priority_classes())
    for name, spec in PRIORITY_LEVELS.items():
        yield PRIORITY_LEVEL, _flow_object("PriorityLevelConfiguration", name, spec)
    for name, spec in FLOW_SCHEMAS.items():
        yield FLOW_SCHEMA, _flow_object("FlowSchema", name, spec)


def cluster_roles() -> list[Obj]:
    """All cluster roles. Aggregated ones come with the rules that they will have."""
    roles = [_rbac_object("ClusterRole", name, rules=r) for name, r in CLUSTER_ROLES.items()]
    roles += [
        _rbac_object("ClusterRole", f"system:controller:{name}", rules=rules)
        for name, rules in CONTROLLER_ROLES.items()
    ]
    for role in roles:
        _label_for_aggregation(role)
    for name, label in AGGREGATED_ROLES.items():
        role = _rbac_object("ClusterRole", name, rules=aggregate(roles, {label: "true"}))
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}
        _label_for_aggregation(role)
        roles.append(role)
    return roles


def aggregate(roles: Iterable[Obj], match_labels: dict[str, str]) -> list[Obj]:
    """The rules of all roles with the labels, in order of the roles' names, each once."""
    rules: list[Obj] = []
    for role in sorted(roles, key=lambda role: str(role["metadata"]["name"])):
        labels = role["metadata"].get("labels") or {}
        if match_labels.items() <= labels.items():
            rules += [rule for rule in role["rules"] if rule not in rules]
    return rules


def _label_for_aggregation(role: Obj) -> None:
    label = AGGREGATION_LABELS.get(role["metadata"]["name"])
    if label:
        role["metadata"]["labels"][label] = "true"


def _cluster_role_bindings() -> Iterator[Obj]:
    for name, subjects in CLUSTER_ROLE_SUBJECTS.items():
        yield _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)
    for controller in CONTROLLER_ROLES:
        name = f"system:controller:{controller}"
        subjects = (account("kube-system", controller),)
        yield _binding("ClusterRoleBinding", name, "ClusterRole", name, subjects)


def _own_policies() -> Iterator[tuple[ResourceName, Obj]]:
    for name, rules in OWN_CLUSTER_ROLES.items():
        yield CLUSTER_ROLE, _without_label(_rbac_object("ClusterRole", name, rules=rules))
    for name, (role, subjects) in OWN_BINDINGS.items():
        binding = _binding("ClusterRoleBinding", name, "ClusterRole", role, subjects)
        yield CLUSTER_ROLE_BINDING, _without_label(binding)


def _without_label(obj: Obj) -> Obj:
    del obj["metadata"]["labels"]
    return obj


def _roles() -> Iterator[Obj]:
    for (namespace, name), rules in ROLES.items():
        yield _rbac_object("Role", name, namespace, rules=rules)


def _role_bindings() -> Iterator[Obj]:
    for (namespace, name), (role, subjects) in ROLE_BINDINGS.items():
        yield _binding("RoleBinding", name, "Role", role, subjects, namespace)


def _binding(
    kind: str,
    name: str,
    role_kind: str,
    role: str,
    subjects: tuple[Obj, ...],
    namespace: str = "",
) -> Obj:
    binding = _rbac_object(kind, name, namespace)
    binding["roleRef"] = {"apiGroup": RBAC, "kind": role_kind, "name": role}
    if subjects:
        binding["subjects"] = list(subjects)
    return binding


def _rbac_object(
    kind: str, name: str, namespace: str = "", *, rules: Iterable[Obj] | None = None
) -> Obj:
    metadata: Obj = {
        "name": name,
        "annotations": {AUTOUPDATE: "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    }
    if namespace:
        metadata["namespace"] = namespace
    made: Obj = {"apiVersion": _RBAC_VERSION, "kind": kind, "metadata": metadata}
    return made if rules is None else made | {"rules": list(rules)}


def _flow_object(kind: str, name: str, spec: Obj) -> Obj:
    metadata = {"name": name, "annotations": {FLOW_AUTOUPDATE: "true"}}
    return {"apiVersion": _FLOW_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _priority_classes() -> Iterator[Obj]:
    cluster = (
        "Used for system critical pods that must run in the cluster, "
        "but can be moved to another node if necessary."
    )
    node = "Used for system critical pods that must not be moved from their current node."
    for name, value, description in (
        ("system-cluster-critical", 2_000_000_000, cluster),
        ("system-node-critical", 2_000_001_000, node),
    ):
        yield {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        }
