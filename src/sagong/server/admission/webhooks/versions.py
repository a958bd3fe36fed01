"""Objects of a write in the version that a webhook wants, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes
from sagong.server.registry.served import Served


class Kinds(Protocol):
    """Every served resource, and what is stored as the same objects."""

    def of(self, resource: Resource) -> Served: ...

    def equivalents(self, storage: Resource, subresource: str) -> Sequence[Resource]:
        """Served resources, in all groups and versions, that are stored as this one."""
        ...


@dataclass(slots=True)
class Shown:
    """The objects of one write in one version."""

    wanted: Resource
    obj: Obj | None
    old: Obj | None


class Versions:
    """Shows the objects of one write in whatever version is wanted; each is made once."""

    def __init__(self, kinds: Kinds, attributes: Attributes) -> None:
        self._kinds = kinds
        self._attributes = attributes
        self._shown: dict[Resource, Shown] = {}

    async def shown(self, wanted: Resource) -> Shown:
        """Never change what this returns. Raises ``api.errors`` if it cannot be converted."""
        found = self._shown.get(wanted)
        if found is None:
            obj, old = self._attributes.obj, self._attributes.old
            there = [o for o in (obj, old) if o is not None]
            converted = iter(await self._converted(there, wanted))
            found = Shown(
                wanted,
                None if obj is None else next(converted),
                None if old is None else next(converted),
            )
            self._shown[wanted] = found
        return found

    async def take(self, wanted: Resource, changed: Obj) -> None:
        """Make ``changed``, an object in the wanted version, the object of the write."""
        attributes = self._attributes
        served = self._kinds.of(wanted)
        back = changed
        if self._is_own_kind(changed, wanted):
            back = served.to_storage(changed)
            if served.converter is not None and wanted != attributes.asked:
                (back,) = await served.converter.convert([back], attributes.asked.api_version)
        assert attributes.obj is not None
        attributes.obj.clear()
        attributes.obj.update(back)
        self._shown.clear()

    async def _converted(self, objects: Sequence[Obj], wanted: Resource) -> Sequence[Obj]:
        served = self._kinds.of(wanted)
        if not all(self._is_own_kind(obj, self._attributes.asked, wanted) for obj in objects):
            return objects  # a subresource's own kind, which has one version
        if served.converter is not None and wanted != self._attributes.asked:
            objects = await served.converter.convert(objects, wanted.api_version)
        return [served.from_storage(obj) for obj in objects]

    def _is_own_kind(self, obj: Obj, *resources: Resource) -> bool:
        kinds = {resource.kind for resource in resources}
        return obj.get("kind") in kinds | {self._attributes.resource.kind}
