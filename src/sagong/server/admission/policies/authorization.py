"""Who writes a policy or a binding must be allowed to read the parameters that it refers to.

Otherwise messages of a policy could tell what is in objects that its author may not see. Source of
semantics: ``registry/admissionregistration/*/authz.go``.
"""

from sagong.api.errors import ApiError, invalid
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Validating
from sagong.server.authz.interface import Attributes as Asked
from sagong.server.authz.interface import Authorizer, Effect

_GROUP = "admissionregistration.k8s.io"
_POLICIES = frozenset(f"{kind}admissionpolicies.{_GROUP}" for kind in ("validating", "mutating"))
_BINDINGS = {
    f"{kind}admissionpolicybindings.{_GROUP}": f"{kind}admissionpolicies.{_GROUP}"
    for kind in ("validating", "mutating")
}
_SPEC = Path("spec")


class PolicyParameters(Validating):
    name = "PolicyParameters"
    resources = _POLICIES | frozenset(_BINDINGS)

    def __init__(self, resources: ResourceTable, authorizer: Authorizer) -> None:
        self._table = resources
        self._authorizer = authorizer

    async def validate(self, attributes: Attributes) -> None:
        obj, old = attributes.obj, attributes.old
        writes = attributes.operation in (Operation.CREATE, Operation.UPDATE)
        if not writes or attributes.subresource or obj is None:
            return
        spec, before = obj["spec"], (old or {}).get("spec") or {}
        if attributes.resource.name in _POLICIES:
            kind = spec.get("paramKind")
            if kind is not None and kind != before.get("paramKind"):
                await self._check_policy(attributes, kind)
        elif attributes.resource.name in _BINDINGS:
            reference = spec.get("paramRef")
            same = reference == before.get("paramRef")
            if reference is not None and not (
                same and spec.get("policyName") == before.get("policyName")
            ):
                await self._check_binding(attributes, spec, reference)

    async def _check_policy(self, attributes: Attributes, kind: Obj) -> None:
        if not await self._may(attributes, kind, "get", "*", "*"):
            shown = f"(kind={kind.get('kind')}, apiVersion={kind.get('apiVersion')})"
            raise _refusal(
                attributes,
                "paramKind",
                f'user {attributes.user.name} must have "get" permission on all objects of the '
                f"referenced paramKind {shown}",
            )

    async def _check_binding(self, attributes: Attributes, spec: Obj, reference: Obj) -> None:
        policies = _BINDINGS[attributes.resource.name]
        policy = attributes.lister.get(policies, "", spec.get("policyName") or "")
        # Of a policy that is not there yet, the kind is not known: all of them, then.
        kind = {} if policy is None else policy.obj["spec"].get("paramKind")
        if kind is None:
            return
        name = reference.get("name") or "*"
        verb = "get" if reference.get("name") else "list"
        namespace = reference.get("namespace") or "*"
        if not await self._may(attributes, kind, verb, name, namespace):
            raise _refusal(
                attributes,
                "paramRef",
                f'user {attributes.user.name} does not have "{verb}" permission on the object '
                "referenced by paramRef",
            )

    async def _may(
        self, attributes: Attributes, kind: Obj, verb: str, name: str, namespace: str
    ) -> bool:
        found = self._table.of_kind(kind.get("apiVersion") or "", kind.get("kind") or "")
        decision = await self._authorizer.authorize(
            Asked(
                user=attributes.user,
                verb=verb,
                group="*" if found is None else found.group,
                version="*" if found is None else found.version,
                resource="*" if found is None else found.plural,
                namespace=namespace,
                name=name,
            )
        )
        return decision.effect is Effect.ALLOW


def _refusal(attributes: Attributes, field: str, why: str) -> ApiError:
    errors = ErrorList()
    errors.forbidden(_SPEC.child(field), why)
    resource, metadata = attributes.resource, (attributes.obj or {}).get("metadata") or {}
    return invalid(resource.group, resource.kind, metadata.get("name") or "", errors)
