"""NodeRestriction: a node writes only its own objects and what concerns its own pods.

Source of semantics: upstream's ``plugin/pkg/admission/noderestriction``. Users of the group
system:nodes are nodes; everybody else is not concerned.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping

from cryptography import x509
from cryptography.x509.oid import NameOID

from sagong.api.errors import Conflict, not_found
from sagong.api.meta import deep_copy, labels_of, name_of, owner_references_of, uid_of
from sagong.api.types import Obj, User
from sagong.server.admission.interface import Attributes, Lister, Operation
from sagong.server.admission.plugin import MIRROR_POD, Mutating, is_mirror, refuse
from sagong.server.admission.service_account import secret_references

NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"

_KUBELET_LABELS = frozenset(
    {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "node.kubernetes.io/windows-build",
    }
)
_KUBELET_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESTRICTED_DOMAIN = "node-restriction.kubernetes.io"
_NODE_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")


def node_of(user: User) -> str | None:
    """The node that a user is; None for other users, "" for one that does not say which."""
    if NODES_GROUP not in user.groups or not user.name.startswith(NODE_PREFIX):
        return None
    return user.name.removeprefix(NODE_PREFIX)


class NodeRestriction(Mutating):
    name = "NodeRestriction"

    async def admit(self, attributes: Attributes) -> None:
        node = node_of(attributes.user)
        if node is None:
            return
        if not node:
            raise refuse(attributes, f'could not determine node from user "{attributes.user.name}"')
        check = _CHECKS.get(attributes.resource.name)
        if check is not None:
            check(attributes, node)


def _check_pod(attributes: Attributes, node: str) -> None:
    match attributes.subresource:
        case "":
            if attributes.operation is Operation.CREATE:
                _check_pod_create(attributes, node)
            elif attributes.operation is Operation.DELETE:
                _check_own(attributes, node, "delete pods")
        case "status":
            _check_own(attributes, node, "update pod status for pods")
            assert attributes.obj is not None
            assert attributes.old is not None
            if labels_of(attributes.obj) != labels_of(attributes.old):
                raise refuse(attributes, f'node "{node}" cannot update labels through pod status')
        case "eviction":
            _check_eviction(attributes, node)
        case other:
            raise refuse(
                attributes,
                f"unexpected pod subresource \"{other}\", only 'status' and 'eviction' are allowed",
            )


def _check_own(attributes: Attributes, node: str, what: str) -> None:
    old = attributes.old or {}
    if (old.get("spec") or {}).get("nodeName") != node:
        raise refuse(attributes, f'node "{node}" can only {what} with spec.nodeName set to itself')


def _check_eviction(attributes: Attributes, node: str) -> None:
    pod = attributes.lister.get("pods", attributes.namespace, attributes.name)
    if pod is None:
        raise not_found("", "pods", attributes.name)
    if pod.obj["spec"].get("nodeName") != node:
        raise refuse(
            attributes, f'node "{node}" can only evict pods with spec.nodeName set to itself'
        )


def _check_pod_create(attributes: Attributes, node: str) -> None:
    pod = attributes.obj
    assert pod is not None
    spec = pod["spec"]
    if not is_mirror(pod):
        raise refuse(
            attributes,
            f'pod does not have "{MIRROR_POD}" annotation, node "{node}" can only create'
            " mirror pods",
        )
    if spec.get("nodeName") != node:
        raise refuse(
            attributes, f'node "{node}" can only create pods with spec.nodeName set to itself'
        )
    _check_mirror_owner(attributes, node, pod)
    for what, found in (
        ("a service account", bool(spec.get("serviceAccountName"))),
        ("secrets", next(secret_references(spec), None) is not None),
        ("configmaps", _references_config_maps(spec)),
        ("persistentvolumeclaims", _has_volume(spec, "persistentVolumeClaim", "ephemeral")),
        ("resourceclaims", bool(spec.get("resourceClaims"))),
    ):
        if found:
            raise refuse(attributes, f'node "{node}" can not create pods that reference {what}')


def _check_mirror_owner(attributes: Attributes, node: str, pod: Obj) -> None:
    owners = owner_references_of(pod)
    only = f'node "{node}" can only create pods with'
    if len(owners) > 1:
        raise refuse(attributes, f"{only} a single owner reference set to itself")
    owner = owners[0] if owners else {}
    if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
        raise refuse(attributes, f"{only} an owner reference set to itself")
    if not owner.get("controller"):
        raise refuse(attributes, f"{only} a controller owner reference set to itself")
    if owner.get("blockOwnerDeletion"):
        raise refuse(
            attributes, f'node "{node}" must not set blockOwnerDeletion on an owner reference'
        )
    found = attributes.lister.get("nodes", "", node)
    if found is None:
        raise not_found("", "nodes", node)
    if uid_of(found.obj) != owner.get("uid"):
        raise refuse(
            attributes,
            f"node {node} UID mismatch: expected {uid_of(found.obj)} got {owner.get('uid')}",
        )


def _has_volume(spec: Obj, *kinds: str) -> bool:
    return any(kind in volume for volume in spec.get("volumes") or () for kind in kinds)


def _references_config_maps(spec: Obj) -> bool:
    if _has_volume(spec, "configMap"):
        return True
    for volume in spec.get("volumes") or ():
        if any("configMap" in s for s in (volume.get("projected") or {}).get("sources") or ()):
            return True
    containers = [
        container
        for part in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(part) or ()
    ]
    return any(
        any("configMapRef" in source for source in container.get("envFrom") or ())
        or any("configMapKeyRef" in (v.get("valueFrom") or {}) for v in container.get("env") or ())
        for container in containers
    )


def _check_node(attributes: Attributes, node: str) -> None:
    if attributes.name != node:
        raise refuse(attributes, f'node "{node}" is not allowed to modify node "{attributes.name}"')
    new, old = attributes.obj, attributes.old
    if new is None:
        return
    changed = _changed(labels_of(new), labels_of(old) if old else {})
    wrong = sorted(label for label in changed if _is_forbidden_label(label))
    if old is None:
        if wrong:
            raise refuse(
                attributes,
                f'node "{node}" is not allowed to set the following labels: {", ".join(wrong)}',
            )
        return
    if _taints(new) != _taints(old):
        raise refuse(attributes, f'node "{node}" is not allowed to modify taints')
    if wrong:
        raise refuse(
            attributes, f'node "{node}" is not allowed to modify labels: {", ".join(wrong)}'
        )
    if owner_references_of(new) != owner_references_of(old):
        raise refuse(attributes, f'node "{node}" is not allowed to modify ownerReferences')


def _taints(node: Obj) -> list[Obj]:
    return (node.get("spec") or {}).get("taints") or []


def _changed(new: Mapping[str, str], old: Mapping[str, str]) -> Iterable[str]:
    return [label for label in {**new, **old} if new.get(label) != old.get(label)]


def _is_forbidden_label(label: str) -> bool:
    domain, slash, _ = label.partition("/")
    if not slash:
        return False
    if _is_within(domain, _RESTRICTED_DOMAIN):
        return True
    if not (_is_within(domain, "kubernetes.io") or _is_within(domain, "k8s.io")):
        return False
    if label in _KUBELET_LABELS:
        return False
    return not any(_is_within(domain, allowed) for allowed in _KUBELET_LABEL_DOMAINS)


def _is_within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)


def _check_claim(attributes: Attributes, node: str) -> None:
    """Nodes report only what a claim's volume has become."""
    if attributes.subresource != "status" or attributes.operation is not Operation.UPDATE:
        raise refuse(
            attributes,
            f"unexpected PVC subresource \"{attributes.subresource}\", only 'status' is allowed",
        )
    if _without_reported(attributes.obj) != _without_reported(attributes.old):
        raise refuse(
            attributes,
            f'node "{node}" may not update fields other than status.quantity,'
            " status.capacity and status.conditions",
        )


def _without_reported(claim: Obj | None) -> Obj:
    copy: Obj = deep_copy(claim or {})
    for field in ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"):
        (copy.get("status") or {}).pop(field, None)
    for field in ("resourceVersion", "managedFields"):
        copy["metadata"].pop(field, None)
    copy["status"] = copy.get("status") or {}
    return copy


def _check_lease(attributes: Attributes, node: str) -> None:
    if attributes.namespace != LEASE_NAMESPACE:
        raise refuse(
            attributes, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        )
    if attributes.name != node:
        raise refuse(
            attributes, "can only access node lease with the same name as the requesting node"
        )


def _check_csi_node(attributes: Attributes, node: str) -> None:
    if attributes.name != node:
        raise refuse(
            attributes, "can only access CSINode with the same name as the requesting node"
        )


def _check_resource_slice(attributes: Attributes, node: str) -> None:
    slice_ = attributes.obj or attributes.old or {}
    if (slice_.get("spec") or {}).get("nodeName") != node:
        raise refuse(
            attributes,
            "can only access ResourceSlice with the same nodeName as the requesting node",
        )


def _check_request(attributes: Attributes, node: str) -> None:
    """A node asks for certificates in its own name only."""
    request = attributes.obj
    if attributes.operation is not Operation.CREATE or attributes.subresource or request is None:
        return
    if request["spec"].get("signerName") not in _NODE_SIGNERS:
        return
    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(request["spec"].get("request", "")))
    except (ValueError, binascii.Error) as error:
        raise refuse(attributes, f"unable to parse csr: {error}") from error
    names = [str(a.value) for a in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names and names[0].startswith(NODE_PREFIX) and names[0] != NODE_PREFIX + node:
        raise refuse(attributes, f"can only create a node CSR with CN={NODE_PREFIX}{node}")


_CHECKS: Mapping[str, Callable[[Attributes, str], None]] = {
    "pods": _check_pod,
    "nodes": _check_node,
    "persistentvolumeclaims": _check_claim,
    "leases.coordination.k8s.io": _check_lease,
    "csinodes.storage.k8s.io": _check_csi_node,
    "resourceslices.resource.k8s.io": _check_resource_slice,
    "certificatesigningrequests.certificates.k8s.io": _check_request,
}


class TokenRefused(Exception):
    """Why a node may not have a token; the handler makes the Forbidden of it."""


def check_token_request(lister: Lister, user: User, namespace: str, reference: Obj | None) -> None:
    """A node gets tokens only for pods that run on it. Raises TokenRefused, NotFound, Conflict.

    ``reference`` is the request's boundObjectRef.
    """
    node = node_of(user)
    if node is None:
        return
    reference = reference or {}
    if (reference.get("apiVersion"), reference.get("kind")) != ("v1", "Pod"):
        raise TokenRefused("node requested token not bound to a pod")
    if not reference.get("name"):
        raise TokenRefused("node requested token not bound to a pod")
    if not reference.get("uid"):
        raise TokenRefused("node requested token with a pod binding without a uid")
    found = lister.get("pods", namespace, reference["name"])
    if found is None:
        raise not_found("", "pods", reference["name"])
    if uid_of(found.obj) != reference["uid"]:
        raise Conflict(
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID"
            " in record. The object might have been deleted and then recreated",
            details={"name": name_of(found.obj), "kind": "pods"},
        )
    if found.obj["spec"].get("nodeName") != node:
        raise TokenRefused("node requested token bound to a pod scheduled on a different node")
