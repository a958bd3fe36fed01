"""What admission plugins have in common: which writes concern them, and how they refuse."""

from sagong.api.errors import Forbidden, forbidden
from sagong.api.meta import annotations_of
from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes, Operation

MIRROR_POD = "kubernetes.io/config.mirror"


class Mutating:
    """A plugin that only changes objects."""

    async def validate(self, attributes: Attributes) -> None:
        """Nothing to say."""


class Validating:
    """A plugin that only refuses."""

    async def admit(self, attributes: Attributes) -> None:
        """Nothing to change."""


def created(attributes: Attributes, resource: str) -> Obj | None:
    """The object, if this write creates one of the resource (``pods``, ``ingresses.…``)."""
    if attributes.operation is not Operation.CREATE or attributes.subresource:
        return None
    return attributes.obj if attributes.resource.name == resource else None


def updated(attributes: Attributes, resource: str, subresource: str = "") -> tuple[Obj, Obj] | None:
    """The new and the old object, if this write updates one of the resource."""
    if attributes.operation is not Operation.UPDATE or attributes.subresource != subresource:
        return None
    if attributes.resource.name != resource or attributes.obj is None or attributes.old is None:
        return None
    return attributes.obj, attributes.old


def refuse(attributes: Attributes, why: str) -> Forbidden:
    """As upstream's ``admission.NewForbidden``: names the object, or what its name begins with."""
    metadata = (attributes.obj or {}).get("metadata") or {}
    name = attributes.name or metadata.get("name") or metadata.get("generateName")
    resource = attributes.resource
    return forbidden(resource.group, resource.plural, name or "Unknown/errorGettingName", why)


def is_mirror(pod: Obj) -> bool:
    """A node's own pod, shown by the API but not run by it."""
    return MIRROR_POD in annotations_of(pod)
