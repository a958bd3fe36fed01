"""OwnerReferencesPermissionEnforcement: who sets an owner must be allowed what follows from it.

An owner's deletion deletes its dependents, and a blocking dependent holds its owner's deletion up.
Off by default. Source of semantics: upstream's ``plugin/pkg/admission/gc``.
"""

from collections.abc import Callable, Sequence

from sagong.api.meta import owner_references_of
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Validating, refuse
from sagong.server.authz.interface import Attributes as Asked
from sagong.server.authz.interface import Authorizer, Effect

OfKind = Callable[[str, str], Resource | None]


class OwnerReferencesPermissionEnforcement(Validating):
    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, authorizer: Authorizer, of_kind: OfKind) -> None:
        self._authorizer = authorizer
        self._of_kind = of_kind

    async def validate(self, attributes: Attributes) -> None:
        obj = attributes.obj
        if attributes.operation not in (Operation.CREATE, Operation.UPDATE) or obj is None:
            return
        if attributes.resource.name == "pods" and attributes.subresource == "status":
            return  # a node writes it, and cannot change owners
        new = owner_references_of(obj)
        old = owner_references_of(attributes.old) if attributes.old is not None else []
        if list(new) == list(old):
            return
        # Who creates an object could as well not have created it.
        if attributes.operation is Operation.UPDATE:
            await self._check_delete(attributes)
        for reference in _newly_blocking(new, old):
            await self._check_finalizers(attributes, reference)

    async def _check_delete(self, attributes: Attributes) -> None:
        resource = attributes.resource
        reason = await self._refusal(
            Asked(
                attributes.user,
                "delete",
                group=resource.group,
                version=resource.version,
                resource=resource.plural,
                subresource=attributes.subresource,
                namespace=attributes.namespace,
                name=attributes.name,
            )
        )
        if reason is not None:
            raise refuse(
                attributes,
                f"cannot set an ownerRef on a resource you can't delete: {reason}, <nil>",
            )

    async def _check_finalizers(self, attributes: Attributes, reference: Obj) -> None:
        api_version, kind = reference.get("apiVersion") or "", reference.get("kind") or ""
        owner = self._of_kind(api_version, kind)
        if owner is None:
            raise refuse(
                attributes,
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
                f'APIVersion {api_version} Kind {kind}: no matches for kind "{kind}" in version '
                f'"{api_version}"',
            )
        reason = await self._refusal(
            Asked(
                attributes.user,
                "update",
                group=owner.group,
                version=owner.version,
                resource=owner.plural,
                subresource="finalizers",
                namespace=attributes.namespace if owner.namespaced else "",
                name=reference.get("name") or "",
            )
        )
        if reason is not None:
            raise refuse(
                attributes,
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you "
                f"can't set finalizers on: {reason}, <nil>",
            )

    async def _refusal(self, asked: Asked) -> str | None:
        decision = await self._authorizer.authorize(asked)
        return None if decision.effect is Effect.ALLOW else decision.reason


def _newly_blocking(new: Sequence[Obj], old: Sequence[Obj]) -> list[Obj]:
    """References that block their owner's deletion and did not before."""
    blocking = {ref.get("uid") for ref in old if ref.get("blockOwnerDeletion")}
    return [r for r in new if r.get("blockOwnerDeletion") and r.get("uid") not in blocking]
