"""A served resource with everything that its calls need to know of its kind."""

from collections.abc import Callable
from dataclasses import dataclass

from sagong.api.schema import Node
from sagong.api.types import Obj, Resource
from sagong.server.kinds.strategy import Strategy


def unchanged(obj: Obj) -> Obj:
    """The conversion of a resource that is stored as it is served."""
    return obj


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

    @property
    def is_converted(self) -> bool:
        same = self.resource is self.storage or self.resource == self.storage
        return self.is_completed or not same
