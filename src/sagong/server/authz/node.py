"""The Node authorizer: a node reads what its own pods name, and nothing else of that kind.

What is not read object by object (creating its Node, its pods' status, certificate requests) is
allowed by the rules of the role ``system:node`` and narrowed by NodeRestriction. Source of
semantics: upstream's ``plugin/pkg/auth/authorizer/node``; beyond it, every node may read the
certificates of the Ingresses that nodes serve.
"""

from collections.abc import Callable, Iterator

from sagong.api import gateway
from sagong.api.ingress import certificate_secrets, is_ours
from sagong.api.pod_references import references, volume_secrets
from sagong.api.types import Obj
from sagong.server.admission.interface import Lister
from sagong.server.admission.node_restriction import LEASE_NAMESPACE, NODES_GROUP, node_of
from sagong.server.authz.interface import NO_OPINION, Attributes, Decision, Effect
from sagong.server.authz.rules import Rule
from sagong.server.bootstrap.policy.cluster_roles import CLUSTER_ROLES

_INGRESSES = "ingresses.networking.k8s.io"
_INGRESS_CLASSES = "ingressclasses.networking.k8s.io"
_ALLOW = Decision(Effect.ALLOW)
_READ = ("get", "list", "watch")
_OWN = ("get", "create", "update", "patch", "delete")


def _no(why: str) -> Decision:
    return Decision(Effect.NO_OPINION, why)


class NodeAuthorizer:
    """Authorises members of system:nodes; has no opinion on others."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._rules = tuple(Rule.of(rule) for rule in CLUSTER_ROLES["system:node"])
        self._guarded: dict[str, Callable[[Attributes, str], Decision | None]] = {
            "secrets": self._read_named,
            "configmaps": self._read_named,
            "persistentvolumeclaims": self._claim,
            "persistentvolumes": self._get_only,
            "resourceclaims.resource.k8s.io": self._get_only,
            "volumeattachments.storage.k8s.io": self._get_only,
            "serviceaccounts": self._service_account,
            "leases.coordination.k8s.io": self._lease,
            "csinodes.storage.k8s.io": self._csi_node,
            "resourceslices.resource.k8s.io": self._resource_slice,
            "nodes": self._node,
            "pods": self._pod,
        }

    async def authorize(self, attributes: Attributes) -> Decision:
        user = attributes.user
        if NODES_GROUP not in user.groups:
            return NO_OPINION
        node = node_of(user)
        if node is None:
            return NO_OPINION
        if not node:
            return _no(f'unknown node for user "{user.name}"')
        guard = self._guarded.get(_resource_name(attributes)) if attributes.is_resource else None
        decision = guard(attributes, node) if guard else None
        return decision or self._by_role(attributes)

    def _by_role(self, asked: Attributes) -> Decision:
        return _ALLOW if any(rule.allows(asked) for rule in self._rules) else NO_OPINION

    # Each guard decides, or leaves it to the role by None.

    def _read_named(self, asked: Attributes, node: str) -> Decision:
        if asked.verb not in _READ:
            return _no("can only read resources of this type")
        if asked.subresource:
            return _no("cannot read subresource")
        if not asked.namespace:
            return _no("can only read namespaced object of this type")
        return self._related(asked, node)

    def _get_only(self, asked: Attributes, node: str) -> Decision:
        if asked.verb != "get":
            return _no("can only get individual resources of this type")
        if asked.subresource:
            return _no("cannot get subresource")
        return self._related(asked, node)

    def _claim(self, asked: Attributes, node: str) -> Decision:
        if asked.subresource != "status":
            return self._get_only(asked, node)
        if asked.verb not in ("get", "update", "patch"):
            return _no("can only get/update/patch this type")
        return self._related(asked, node)

    def _service_account(self, asked: Attributes, node: str) -> Decision:
        if asked.subresource == "" and asked.verb == "get":
            return self._related(asked, node)
        if asked.verb != "create" or asked.subresource != "token":
            return _no("can only create tokens for individual service accounts")
        return self._related(asked, node)

    def _lease(self, asked: Attributes, node: str) -> Decision:
        if asked.verb not in _OWN:
            return _no("can only get, create, update, patch, or delete a node lease")
        if asked.namespace != LEASE_NAMESPACE:
            return _no(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if asked.verb != "create" and asked.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return _ALLOW

    def _csi_node(self, asked: Attributes, node: str) -> Decision:
        if asked.verb not in _OWN:
            return _no("can only get, create, update, patch, or delete a CSINode")
        if asked.subresource:
            return _no("cannot authorize CSINode subresources")
        if asked.verb != "create" and asked.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return _ALLOW

    def _resource_slice(self, asked: Attributes, node: str) -> Decision:
        if asked.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if asked.verb in ("create",):
            return _ALLOW  # NodeRestriction looks at the node that it names
        if asked.verb in ("list", "watch", "deletecollection"):
            if _selects(asked, "spec.nodeName", node):
                return _ALLOW
            return _no("can only list/watch/deletecollection resourceslices with nodeName")
        if asked.verb not in ("get", "update", "patch", "delete"):
            return _no("only the standard verbs are allowed for a ResourceSlice")
        found = self._lister.get("resourceslices.resource.k8s.io", "", asked.name)
        if found is not None and found.obj["spec"].get("nodeName") == node:
            return _ALLOW
        return _unrelated(node)

    def _node(self, asked: Attributes, node: str) -> Decision | None:
        if asked.subresource or asked.verb not in _READ:
            return None
        if asked.name == node:
            return _ALLOW
        if asked.verb == "get":
            return _no(f"node '{node}' cannot read '{asked.name}', only its own Node object")
        return _no(f"node '{node}' cannot read all nodes, only its own Node object")

    def _pod(self, asked: Attributes, node: str) -> Decision | None:
        if asked.subresource or asked.verb not in _READ:
            return None
        if asked.verb == "get" or asked.name:
            return self._related(asked, node)
        if _selects(asked, "spec.nodeName", node):
            return _ALLOW
        return _no("can only list/watch pods with spec.nodeName field selector")

    # Relations

    def _related(self, asked: Attributes, node: str) -> Decision:
        if not asked.name:
            return _no("No Object name found")
        if self._has_path(_resource_name(asked), asked.namespace, asked.name, node):
            return _ALLOW
        return _unrelated(node)

    def _has_path(self, resource: str, namespace: str, name: str, node: str) -> bool:
        match resource:
            case "pods":
                found = self._lister.get("pods", namespace, name)
                return found is not None and found.obj["spec"].get("nodeName") == node
            case "persistentvolumes":
                found = self._lister.get("persistentvolumes", "", name)
                return found is not None and self._uses_volume(found.obj, node)
            case "volumeattachments.storage.k8s.io":
                found = self._lister.get(resource, "", name)
                return found is not None and found.obj["spec"].get("nodeName") == node
        if any((resource, name) in references(pod) for pod in self._pods_of(node, namespace)):
            return True
        if resource != "secrets":
            return False
        return self._uses_secret_of_volume(namespace, name, node) or self._serves_with(
            namespace, name
        )

    def _pods_of(self, node: str, namespace: str) -> Iterator[Obj]:
        for encoded in self._lister.list("pods", namespace):
            if encoded.obj["spec"].get("nodeName") == node:
                yield encoded.obj

    def _uses_volume(self, volume: Obj, node: str) -> bool:
        claim = volume["spec"].get("claimRef") or {}
        if not claim.get("name"):
            return False
        wanted = ("persistentvolumeclaims", claim["name"])
        pods = self._pods_of(node, claim.get("namespace", ""))
        return any(wanted in references(pod) for pod in pods)

    def _serves_with(self, namespace: str, name: str) -> bool:
        """Whether the nodes' own proxies serve an Ingress or Gateway with the certificate."""
        if any(
            (namespace, name) in gateway.certificate_secrets(found.obj)
            for found in self._lister.list(gateway.GATEWAYS)
            if gateway.is_ours(found.obj, [c.obj for c in self._lister.list(gateway.CLASSES)])
        ):
            return True
        classes = [found.obj for found in self._lister.list(_INGRESS_CLASSES)]
        return any(
            (namespace, name) in certificate_secrets(found.obj) and is_ours(found.obj, classes)
            for found in self._lister.list(_INGRESSES, namespace)
        )

    def _uses_secret_of_volume(self, namespace: str, name: str, node: str) -> bool:
        return any(
            (namespace, name) in volume_secrets(volume.obj) and self._uses_volume(volume.obj, node)
            for volume in self._lister.list("persistentvolumes")
        )


def _resource_name(asked: Attributes) -> str:
    return f"{asked.resource}.{asked.group}" if asked.group else asked.resource


def _unrelated(node: str) -> Decision:
    return _no(f"no relationship found between node '{node}' and this object")


def _selects(asked: Attributes, field: str, value: str) -> bool:
    terms = asked.field_selector.split(",")
    return f"{field}={value}" in terms or f"{field}=={value}" in terms
