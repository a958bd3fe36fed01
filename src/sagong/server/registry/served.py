"""A served resource with everything that its calls need to know of its kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sagong.api.schema import Node
from sagong.api.types import Encoded, Obj, Resource
from sagong.server.kinds.strategy import Strategy


def unchanged(obj: Obj) -> Obj:
    """The conversion of a resource that is stored as it is served."""
    return obj


class Converter(Protocol):
    """Converts between versions by asking somebody, which takes time and may fail."""

    async def convert(self, objects: Sequence[Obj], api_version: str) -> Sequence[Obj]:
        """The objects in a version, in order; those in it already as they are.

        Raises ``api.errors``. Never changes what it is given.
        """
        ...

    async def read(self, objects: Sequence[Encoded], api_version: str) -> Sequence[Encoded]:
        """The same for states as they are stored, of which the results may be remembered."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """One resource in one version, and how it is stored."""

    resource: Resource
    storage: Resource
    strategy: Strategy
    node: Node | None
    # Conversions may change their argument and return it, or return another object.
    to_storage: Callable[[Obj], Obj] = unchanged
    from_storage: Callable[[Obj], Obj] = unchanged

    is_custom: bool = False
    # Does a stored object lack something that is shown (defaults, the version it is asked in)?
    is_completed: bool = False
    # Set if objects are stored in another form than the registry works on: each is converted as it
    # is read, and as it is written. ``to_storage`` and ``from_storage`` stay within one version.
    converter: Converter | None = None

    @property
    def is_converted(self) -> bool:
        """Does ``from_storage`` change anything?"""
        if self.converter is not None:
            return self.is_completed
        same = self.resource is self.storage or self.resource == self.storage
        return self.is_completed or not same
