"""Admission plugins: what they add to a write, and what they refuse, in upstream's words."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sagong.api.call import Answer, Call, Options, Single
from sagong.api.errors import ApiError, Conflict, Forbidden, NotFound
from sagong.api.meta import deep_copy
from sagong.api.resources import ResourceTable
from sagong.api.types import Encoded, Obj, User
from sagong.core.ids import SeededIds
from sagong.server.admission import certificates, storage_defaults, storage_protection
from sagong.server.admission.chain import Chain, Surroundings, default_plugins
from sagong.server.admission.configuration import OPTIONAL, PLUGINS, AdmissionSettings
from sagong.server.admission.default_toleration_seconds import DefaultTolerationSeconds
from sagong.server.admission.interface import Attributes, Operation, Plugin
from sagong.server.admission.limit_ranger import LimitRanger
from sagong.server.admission.namespace_lifecycle import NamespaceLifecycle
from sagong.server.admission.node_restriction import (
    NodeRestriction,
    TokenRefused,
    check_token_request,
)
from sagong.server.admission.priority import Priority
from sagong.server.admission.rbac_escalation import RbacEscalation
from sagong.server.admission.resource_quota import ResourceQuota
from sagong.server.admission.runtime_class import RuntimeClass
from sagong.server.admission.service_account import ServiceAccount
from sagong.server.admission.taint_nodes import TaintNodesByCondition
from sagong.server.authz.rbac import RbacAuthorizer
from sagong.server.authz.union import UnionAuthorizer
from sagong.server.bootstrap.reconcile import SERVER_USER, reconcile_bootstrap
from sagong.server.pki.authority import new_key

from .clocks import FixedClock
from .objects import Objects
from .test_bootstrap import PlainStorage

RESOURCES = ResourceTable()
ALICE = User("alice", groups=("system:authenticated",))
NODE = User("system:node:n1", groups=("system:nodes", "system:authenticated"))


class World:
    """Objects in the cluster, and writes to them."""

    def __init__(self) -> None:
        self.objects = Objects()
        for namespace in ("default", "one"):
            self.put("namespaces", {"metadata": {"name": namespace}})
            self.put("serviceaccounts", {"metadata": {"name": "default", "namespace": namespace}})

    def put(self, resource: str, obj: Obj) -> Obj:
        return self.objects.put(resource, obj)

    def write(
        self,
        operation: Operation,
        resource: str,
        obj: Obj | None,
        old: Obj | None = None,
        *,
        subresource: str = "",
        user: User = ALICE,
        dry_run: bool = False,
    ) -> Attributes:
        found = RESOURCES.named(resource)
        assert found is not None
        metadata = (obj or old or {})["metadata"]
        return Attributes(
            operation=operation,
            resource=found,
            subresource=subresource,
            namespace=metadata.get("namespace", ""),
            name=metadata.get("name", ""),
            obj=deep_copy(obj),
            old=old,
            options=Options(dry_run=dry_run),
            user=user,
            lister=self.objects,
        )

    def create(self, resource: str, obj: Obj, **fields: Any) -> Attributes:
        return self.write(Operation.CREATE, resource, obj, **fields)

    def update(self, resource: str, obj: Obj, old: Obj, **fields: Any) -> Attributes:
        return self.write(Operation.UPDATE, resource, obj, old, **fields)

    def delete(self, resource: str, old: Obj, **fields: Any) -> Attributes:
        return self.write(Operation.DELETE, resource, None, old, **fields)


@pytest.fixture
def world() -> World:
    return World()


async def run(plugin: Plugin, attributes: Attributes) -> Obj:
    await plugin.admit(attributes)
    await plugin.validate(attributes)
    return attributes.obj or {}


async def refused(plugin: Plugin, attributes: Attributes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await run(plugin, attributes)
    return caught.value


def pod(name: str = "p", namespace: str = "default", **spec: Any) -> Obj:
    spec = {"containers": [{"name": "c", "image": "i"}], **spec}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def resources(**parts: dict[str, str]) -> list[Obj]:
    return [{"name": "c", "image": "i", "resources": parts}]


# Namespaces


async def test_namespaces_must_be_there(world: World) -> None:
    error = await refused(NamespaceLifecycle(), world.create("pods", pod(namespace="nope")))
    assert isinstance(error, NotFound)
    assert error.message == 'namespaces "nope" not found'
    await run(NamespaceLifecycle(), world.create("pods", pod()))


async def test_nothing_new_in_a_terminating_namespace(world: World) -> None:
    world.put("namespaces", {"metadata": {"name": "one"}, "status": {"phase": "Terminating"}})
    error = await refused(NamespaceLifecycle(), world.create("pods", pod(namespace="one")))
    assert error.message == (
        'pods "p" is forbidden: unable to create new content in namespace one'
        " because it is being terminated"
    )
    assert error.causes == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace one is being terminated",
            "field": "metadata.namespace",
        }
    ]
    existing = pod(namespace="one")
    await run(NamespaceLifecycle(), world.update("pods", existing, existing))
    await run(NamespaceLifecycle(), world.delete("pods", existing))


async def test_system_namespaces_stay(world: World) -> None:
    error = await refused(
        NamespaceLifecycle(), world.delete("namespaces", {"metadata": {"name": "kube-system"}})
    )
    assert (
        error.message == 'namespaces "kube-system" is forbidden: this namespace may not be deleted'
    )
    await run(NamespaceLifecycle(), world.delete("namespaces", {"metadata": {"name": "one"}}))


# Service accounts


async def test_pods_get_their_account_and_its_token(world: World) -> None:
    account = world.objects.get("serviceaccounts", "default", "default")
    assert account is not None
    account.obj["imagePullSecrets"] = [{"name": "registry"}]
    plugin = ServiceAccount(SeededIds(1))
    made = await run(plugin, world.create("pods", pod(initContainers=[{"name": "i"}])))
    spec = made["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    [volume] = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]][:3] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    for container in (*spec["containers"], *spec["initContainers"]):
        assert container["volumeMounts"] == [
            {
                "name": volume["name"],
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ]


async def test_a_mount_of_ones_own_is_kept(world: World) -> None:
    mine = [{"name": "v", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    own = pod(containers=[{"name": "c", "volumeMounts": mine}])
    made = await run(ServiceAccount(SeededIds(1)), world.create("pods", own))
    assert made["spec"]["containers"][0]["volumeMounts"] == mine
    assert "volumes" not in made["spec"]


async def test_no_token_if_not_wanted(world: World) -> None:
    unwanted = pod(automountServiceAccountToken=False)
    made = await run(ServiceAccount(SeededIds(1)), world.create("pods", unwanted))
    assert "volumes" not in made["spec"]
    silent = {"metadata": {"name": "quiet", "namespace": "default"}}
    world.put("serviceaccounts", silent | {"automountServiceAccountToken": False})
    quiet = pod(serviceAccountName="quiet")
    made = await run(ServiceAccount(SeededIds(1)), world.create("pods", quiet))
    assert "volumes" not in made["spec"]


async def test_accounts_must_be_there(world: World) -> None:
    absent = pod(serviceAccountName="ghost")
    error = await refused(ServiceAccount(SeededIds(1)), world.create("pods", absent))
    assert error.message == (
        'pods "p" is forbidden: error looking up service account default/ghost:'
        ' serviceaccount "ghost" not found'
    )


# Priority


def priority_class(name: str, value: int, **fields: Any) -> Obj:
    return {"metadata": {"name": name}, "value": value, **fields}


CLASSES = "priorityclasses.scheduling.k8s.io"


async def test_priority_comes_from_the_class(world: World) -> None:
    made = await run(Priority(), world.create("pods", pod()))
    assert made["spec"]["priority"] == 0
    assert made["spec"]["preemptionPolicy"] == "PreemptLowerPriority"

    world.put(CLASSES, priority_class("high", 1000, preemptionPolicy="Never"))
    made = await run(Priority(), world.create("pods", pod(priorityClassName="high")))
    assert (made["spec"]["priority"], made["spec"]["preemptionPolicy"]) == (1000, "Never")

    world.put(CLASSES, priority_class("usual", 7, globalDefault=True))
    made = await run(Priority(), world.create("pods", pod()))
    assert (made["spec"]["priority"], made["spec"]["priorityClassName"]) == (7, "usual")

    other = priority_class("other", 8, globalDefault=True)
    error = await refused(Priority(), world.create(CLASSES, other))
    assert error.message == (
        'priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already'
        " marked as default. Only one default can exist"
    )


async def test_priorities_of_ones_own_are_refused(world: World) -> None:
    error = await refused(Priority(), world.create("pods", pod(priorityClassName="nope")))
    assert error.message == 'pods "p" is forbidden: no PriorityClass with name nope was found'
    error = await refused(Priority(), world.create("pods", pod(priority=5)))
    assert "the integer value of priority (5) must not be provided" in error.message


# Small ones


async def test_tolerations_for_five_minutes(world: World) -> None:
    made = await run(DefaultTolerationSeconds(), world.create("pods", pod()))
    assert [t["key"] for t in made["spec"]["tolerations"]] == [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ]
    for kept in ({"operator": "Exists"}, {"operator": "Exists", "effect": "NoExecute"}):
        own = pod(tolerations=[kept])
        made = await run(DefaultTolerationSeconds(), world.create("pods", own))
        assert made["spec"]["tolerations"] == [kept]


async def test_new_nodes_take_no_pods(world: World) -> None:
    node = {"metadata": {"name": "n"}}
    made = await run(TaintNodesByCondition(), world.create("nodes", node))
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    assert made["spec"]["taints"] == [taint]
    made = await run(TaintNodesByCondition(), world.create("nodes", made))
    assert made["spec"]["taints"] == [taint]


def marked(name: str, created: str, **fields: Any) -> Obj:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    metadata = {"name": name, "creationTimestamp": created, "annotations": annotations}
    return {"metadata": metadata, **fields}


def claim(size: str = "1Gi", phase: str = "Bound", **spec: Any) -> Obj:
    return {
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {"resources": {"requests": {"storage": size}}, **spec},
        "status": {"phase": phase},
    }


async def test_the_newest_default_storage_class_is_taken(world: World) -> None:
    world.put("storageclasses.storage.k8s.io", marked("old", "2020-01-01T00:00:00Z"))
    world.put("storageclasses.storage.k8s.io", marked("new", "2021-01-01T00:00:00Z"))
    plugin = storage_defaults.DefaultStorageClass()
    made = await run(plugin, world.create("persistentvolumeclaims", claim()))
    assert made["spec"]["storageClassName"] == "new"
    none = claim(storageClassName="")
    made = await run(plugin, world.create("persistentvolumeclaims", none))
    assert made["spec"]["storageClassName"] == ""


async def test_claims_are_protected_and_grow_only_if_allowed(world: World) -> None:
    protection = storage_protection.StorageObjectInUseProtection()
    made = await run(protection, world.create("persistentvolumeclaims", claim()))
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]

    plugin = storage_protection.PersistentVolumeClaimResize()
    fixed = claim(storageClassName="fixed"), claim("2Gi", storageClassName="fixed")
    error = await refused(plugin, world.update("persistentvolumeclaims", fixed[1], fixed[0]))
    assert "the storageclass that provisions the pvc must support resize" in error.message
    growing = {"metadata": {"name": "fixed"}, "allowVolumeExpansion": True}
    world.put("storageclasses.storage.k8s.io", growing)
    await run(plugin, world.update("persistentvolumeclaims", fixed[1], fixed[0]))
    pending = claim(phase="Pending", storageClassName="fixed")
    error = await refused(plugin, world.update("persistentvolumeclaims", fixed[1], pending))
    assert "Only bound persistent volume claims can be expanded" in error.message


async def test_runtime_classes(world: World) -> None:
    world.put(
        "runtimeclasses.node.k8s.io",
        {
            "metadata": {"name": "vm"},
            "overhead": {"podFixed": {"memory": "64Mi"}},
            "scheduling": {"nodeSelector": {"vm": "yes"}},
        },
    )
    made = await run(RuntimeClass(), world.create("pods", pod(runtimeClassName="vm")))
    assert made["spec"]["overhead"] == {"memory": "64Mi"}
    assert made["spec"]["nodeSelector"] == {"vm": "yes"}
    error = await refused(RuntimeClass(), world.create("pods", pod(runtimeClassName="x")))
    assert error.message == 'pods "p" is forbidden: pod rejected: RuntimeClass "x" not found'
    await refused(RuntimeClass(), world.create("pods", pod(overhead={"memory": "1Mi"})))


# Limits


def limit_range(**limit: Any) -> Obj:
    limits = [{"type": "Container", **limit}]
    return {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": limits}}


async def test_default_resources(world: World) -> None:
    world.put(
        "limitranges",
        limit_range(default={"cpu": "1"}, defaultRequest={"cpu": "100m", "memory": "1Mi"}),
    )
    own = pod(containers=resources(requests={"memory": "2Mi"}))
    made = await run(LimitRanger(), world.create("pods", own))
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "2Mi"},
        "limits": {"cpu": "1"},
    }
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": (
            "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
        )
    }


@pytest.mark.parametrize(
    ("limit", "given", "why"),
    [
        (
            {"min": {"cpu": "1"}},
            {"requests": {"cpu": "500m"}},
            "minimum cpu usage per Container is 1, but request is 500m",
        ),
        (
            {"min": {"cpu": "1"}},
            {},
            "minimum cpu usage per Container is 1.  No request is specified",
        ),
        (
            {"max": {"memory": "1Gi"}},
            {"limits": {"memory": "2Gi"}},
            "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        ),
        ({"max": {"cpu": "1"}}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {"cpu": "3"}, "requests": {"cpu": "1"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
    ],
)
async def test_bounds(world: World, limit: Obj, given: Obj, why: str) -> None:
    world.put("limitranges", limit_range(**limit))
    asked = pod(containers=[{"name": "c", "resources": given}])
    error = await refused(LimitRanger(), world.create("pods", asked))
    assert error.message == f'pods "p" is forbidden: {why}'


# Quotas


class QuotaStorage:
    """Stores quotas with one conflict before each success, as under contention."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    async def execute(self, call: Call, user: User) -> Answer:
        raise NotImplementedError

    async def modify(self, call: Call, user: User, change: Any, *, subresource: str) -> Answer:
        found = self.objects.get("resourcequotas", call.namespace or "", call.name)
        assert found is not None
        change(deep_copy(found.obj))
        changed = change(deep_copy(found.obj))
        self.objects.put("resourcequotas", changed)
        return Single(Encoded(changed))


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> Obj:
    return {
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": hard, **spec},
        "status": {"hard": hard, "used": used},
    }


def quota_plugin(world: World) -> ResourceQuota:
    storage = QuotaStorage(world.objects)
    return ResourceQuota(lambda: storage)


def used(world: World) -> dict[str, str]:
    found = world.objects.get("resourcequotas", "default", "q")
    assert found is not None
    result: dict[str, str] = found.obj["status"]["used"]
    return result


async def test_quota_is_charged_until_it_is_used_up(world: World) -> None:
    hard = {"pods": "2", "requests.cpu": "1", "count/configmaps": "1"}
    world.put("resourcequotas", quota(hard, dict.fromkeys(hard, "0")))
    plugin = quota_plugin(world)
    asked = pod(containers=resources(requests={"cpu": "600m"}))
    await run(plugin, world.create("pods", asked))
    assert used(world) == {"pods": "1", "requests.cpu": "600m", "count/configmaps": "0"}
    error = await refused(plugin, world.create("pods", asked))
    assert error.message == (
        'pods "p" is forbidden: exceeded quota: q, requested: requests.cpu=600m,'
        " used: requests.cpu=600m, limited: requests.cpu=1"
    )
    small = pod(containers=resources(requests={"cpu": "400m"}))
    await run(plugin, world.create("pods", small, dry_run=True))
    assert used(world)["pods"] == "1"
    await run(plugin, world.create("pods", small))
    error = await refused(plugin, world.create("pods", small))
    assert error.message == (
        'pods "p" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=400m,'
        " used: pods=2,requests.cpu=1, limited: pods=2,requests.cpu=1"
    )


async def test_quota_wants_requests(world: World) -> None:
    hard = {"requests.cpu": "1", "limits.memory": "1Gi"}
    world.put("resourcequotas", quota(hard, dict.fromkeys(hard, "0")))
    error = await refused(quota_plugin(world), world.create("pods", pod()))
    assert error.message == (
        'pods "p" is forbidden: failed quota: q: must specify limits.memory for: c;'
        " requests.cpu for: c"
    )


async def test_quota_counts_only_its_scope(world: World) -> None:
    world.put("resourcequotas", quota({"pods": "0"}, {"pods": "0"}, scopes=["NotBestEffort"]))
    plugin = quota_plugin(world)
    await run(plugin, world.create("pods", pod()))
    await refused(plugin, world.create("pods", pod(containers=resources(limits={"cpu": "1"}))))


async def test_quota_counts_what_updates_add(world: World) -> None:
    hard = {"services.nodeports": "1", "services": "5"}
    world.put("resourcequotas", quota(hard, {"services.nodeports": "0", "services": "1"}))
    metadata = {"name": "s", "namespace": "default"}
    old = {"metadata": metadata, "spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}
    new = {"metadata": metadata, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    await run(quota_plugin(world), world.update("services", new, old))
    assert used(world) == {"services.nodeports": "1", "services": "1"}
    more = {"metadata": metadata, "spec": {"type": "NodePort", "ports": [{}, {}]}}
    error = await refused(quota_plugin(world), world.update("services", more, new))
    assert "requested: services.nodeports=1, used: services.nodeports=1" in error.message


# Nodes


def mirror(**spec: Any) -> Obj:
    made = pod(nodeName="n1", **spec)
    made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1", "controller": True}
    made["metadata"]["ownerReferences"] = [owner]
    return made


async def test_nodes_make_only_their_mirror_pods(world: World) -> None:
    world.put("nodes", {"metadata": {"name": "n1", "uid": "u1"}})
    plugin = NodeRestriction()
    await run(plugin, world.create("pods", mirror(), user=NODE))
    elsewhere = mirror()
    elsewhere["spec"]["nodeName"] = "n2"
    for bad, why in (
        (pod(nodeName="n1"), "can only create mirror pods"),
        (elsewhere, "spec.nodeName set to itself"),
        (mirror(serviceAccountName="x"), "reference a service account"),
        (mirror(volumes=[{"secret": {"secretName": "s"}}]), "reference secrets"),
        (mirror(volumes=[{"configMap": {"name": "s"}}]), "reference configmaps"),
    ):
        error = await refused(plugin, world.create("pods", bad, user=NODE))
        assert why in error.message
    await run(plugin, world.create("pods", pod(), user=ALICE))


async def test_nodes_touch_only_their_pods(world: World) -> None:
    plugin = NodeRestriction()
    mine, others = pod(nodeName="n1"), pod(nodeName="n2")
    await run(plugin, world.update("pods", mine, mine, subresource="status", user=NODE))
    await run(plugin, world.delete("pods", mine, user=NODE))
    error = await refused(
        plugin, world.update("pods", others, others, subresource="status", user=NODE)
    )
    assert error.message == (
        'pods "p" is forbidden: node "n1" can only update pod status for pods'
        " with spec.nodeName set to itself"
    )
    await refused(plugin, world.delete("pods", others, user=NODE))


async def test_nodes_change_only_themselves(world: World) -> None:
    plugin = NodeRestriction()

    def node(name: str = "n1", taints: Any = ()) -> Obj:
        return {"metadata": {"name": name}, "spec": {"taints": list(taints)}}

    labelled = node()
    labelled["metadata"]["labels"] = {"kubernetes.io/os": "linux", "mine": "x"}
    await run(plugin, world.create("nodes", labelled, user=NODE))
    await run(plugin, world.update("nodes", labelled, node(), user=NODE))
    other = await refused(plugin, world.update("nodes", node("n2"), node("n2"), user=NODE))
    assert other.message == (
        'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"'
    )
    tainted = await refused(plugin, world.update("nodes", node(), node(taints=[{}]), user=NODE))
    assert 'node "n1" is not allowed to modify taints' in tainted.message
    for label in ("node-restriction.kubernetes.io/a", "node-role.kubernetes.io/control-plane"):
        wrong = node()
        wrong["metadata"]["labels"] = {label: ""}
        error = await refused(plugin, world.update("nodes", wrong, node(), user=NODE))
        assert error.message.endswith(f'node "n1" is not allowed to modify labels: {label}')


async def test_nodes_hold_only_their_lease(world: World) -> None:
    def lease(name: str, namespace: str) -> Attributes:
        metadata = {"name": name, "namespace": namespace}
        return world.create("leases.coordination.k8s.io", {"metadata": metadata}, user=NODE)

    await run(NodeRestriction(), lease("n1", "kube-node-lease"))
    await refused(NodeRestriction(), lease("n2", "kube-node-lease"))
    await refused(NodeRestriction(), lease("n1", "default"))


def test_nodes_get_tokens_only_for_their_pods(world: World) -> None:
    mine = pod(nodeName="n1")
    mine["metadata"]["uid"] = "u"
    world.put("pods", mine)
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    check_token_request(world.objects, NODE, "default", reference)
    check_token_request(world.objects, ALICE, "default", None)
    for bad in (None, {}, reference | {"uid": ""}, reference | {"kind": "Secret"}):
        with pytest.raises(TokenRefused):
            check_token_request(world.objects, NODE, "default", bad)
    with pytest.raises(Conflict):
        check_token_request(world.objects, NODE, "default", reference | {"uid": "older"})
    with pytest.raises(NotFound):
        check_token_request(world.objects, NODE, "default", reference | {"name": "x"})
    other = User("system:node:n2", groups=("system:nodes",))
    with pytest.raises(TokenRefused, match="scheduled on a different node"):
        check_token_request(world.objects, other, "default", reference)


# Certificates


def request(common_name: str, signer: str, *organizations: str) -> Obj:
    name = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    name.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
    pem = builder.sign(new_key(), hashes.SHA256()).public_bytes(Encoding.PEM)
    spec = {"signerName": signer, "request": base64.b64encode(pem).decode(), "username": "liar"}
    return {"metadata": {"name": "r"}, "spec": spec}


CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


async def test_requests_name_who_asks(world: World) -> None:
    user = User("bob", "7", ("g",), {"k": ("v",)})
    plugin = certificates.CertificateRequester()
    asked = world.create(certificates.REQUESTS, request("x", CLIENT), user=user)
    spec = (await run(plugin, asked))["spec"]
    assert (spec["username"], spec["uid"], spec["groups"]) == ("bob", "7", ["g"])
    assert spec["extra"] == {"k": ["v"]}


async def test_no_certificate_makes_a_master(world: World) -> None:
    plugin = certificates.CertificateSubjectRestriction()
    asked = world.create(certificates.REQUESTS, request("x", CLIENT, "system:masters"))
    error = await refused(plugin, asked)
    assert error.message.endswith(
        f"use of {CLIENT} signer with system:masters group is not allowed"
    )
    await run(plugin, world.create(certificates.REQUESTS, request("x", CLIENT, "dev")))


async def test_nodes_ask_in_their_own_name(world: World) -> None:
    own, others = request("system:node:n1", KUBELET), request("system:node:n2", KUBELET)
    await run(NodeRestriction(), world.create(certificates.REQUESTS, own, user=NODE))
    await refused(NodeRestriction(), world.create(certificates.REQUESTS, others, user=NODE))


async def test_signers_are_guarded(world: World) -> None:
    authorizer = await policy(world)
    controller = User("system:serviceaccount:kube-system:certificate-controller")
    asked = request("x", KUBELET)
    signed = asked | {"status": {"certificate": "abc"}}
    for plugin, subresource, new in (
        (certificates.CertificateApproval(authorizer), "approval", asked),
        (certificates.CertificateSigning(authorizer), "status", signed),
    ):
        for user, allowed in ((controller, True), (ALICE, False)):
            write = world.update(
                certificates.REQUESTS, new, asked, subresource=subresource, user=user
            )
            if allowed:
                await run(plugin, write)
            else:
                error = await refused(plugin, write)
                assert "user not permitted to" in error.message


async def policy(world: World) -> UnionAuthorizer:
    await reconcile_bootstrap(PlainStorage(world.objects), SERVER_USER, world.objects)
    return UnionAuthorizer([RbacAuthorizer(world.objects)])


# Escalation


async def test_nobody_grants_what_he_does_not_hold(world: World) -> None:
    authorizer = await policy(world)
    plugin = RbacEscalation(authorizer, RbacAuthorizer(world.objects))
    roles, bindings = "roles.rbac.authorization.k8s.io", "rolebindings.rbac.authorization.k8s.io"
    metadata = {"name": "r", "namespace": "one"}
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}
    wanted = {"metadata": metadata, "rules": [rule]}
    error = await refused(plugin, world.create(roles, wanted))
    assert error.message == (
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "alice"'
        ' (groups=["system:authenticated"]) is attempting to grant RBAC permissions'
        ' not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get" "delete"]}'
    )
    root = User("root", groups=("system:masters",))
    await run(plugin, world.create(roles, wanted, user=root))
    await run(plugin, world.update(roles, wanted, wanted))

    role_ref = {"kind": "ClusterRole", "name": "view"}
    grant = {"metadata": metadata, "roleRef": role_ref, "subjects": []}
    await refused(plugin, world.create(bindings, grant))
    mine = {
        "metadata": {"name": "mine", "namespace": "one"},
        "roleRef": {"kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "alice"}],
    }
    world.put(bindings, mine)
    await run(plugin, world.create(bindings, grant))
    absent = grant | {"roleRef": {"kind": "Role", "name": "none"}}
    assert isinstance(await refused(plugin, world.create(bindings, absent)), NotFound)


# The whole chain


def surroundings(world: World) -> Surroundings:
    rbac = RbacAuthorizer(world.objects)
    storage = QuotaStorage(world.objects)
    return Surroundings(
        authorizer=UnionAuthorizer([rbac]),
        resolver=rbac,
        storage=lambda: storage,
        clock=FixedClock(),
        ids=SeededIds(1),
        of_kind=RESOURCES.of_kind,
    )


DYNAMIC = {f"{kind}Admission{what}" for kind in ("Mutating", "Validating")
           for what in ("Policy", "Webhook")}  # fmt: skip


def test_whatever_can_be_switched_is_in_the_chain(world: World) -> None:
    everything = AdmissionSettings(enabled=OPTIONAL)
    names = {plugin.name for plugin in default_plugins(surroundings(world), everything)}
    assert names >= PLUGINS - DYNAMIC
    plain = {plugin.name for plugin in default_plugins(surroundings(world))}
    assert plain == names - OPTIONAL
    nothing = AdmissionSettings(disabled=PLUGINS)
    assert not {p.name for p in default_plugins(surroundings(world), nothing)} & PLUGINS


async def test_the_chain_gives_a_pod_all_it_needs(world: World) -> None:
    plugins = default_plugins(surroundings(world))
    made = await run(Chain(plugins), world.create("pods", pod()))
    assert {"serviceAccountName", "priority", "tolerations", "volumes"} <= made["spec"].keys()
    with pytest.raises(NotFound):
        await run(Chain(plugins), world.create("pods", pod(namespace="nope")))
    with pytest.raises(Forbidden):
        await run(Chain(plugins), world.delete("namespaces", {"metadata": {"name": "default"}}))
