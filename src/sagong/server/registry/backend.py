"""What every verb of the registry works with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sagong.api import errors
from sagong.api.types import Obj, Resource
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.tasks import Tasks
from sagong.server.admission.chain import Chain
from sagong.server.admission.interface import Attributes, Plugin
from sagong.server.cache import Item, ResourceCache
from sagong.server.caches import Caches
from sagong.server.keys import path_of, prefix_of
from sagong.server.registry.served import Served
from sagong.store.interface import Store


class Settler(Protocol):
    """Told how writes ended, for what admission had reserved for them (``server/allocation``)."""

    async def settle(self, attributes: Attributes, *, stored: bool) -> None: ...

    async def release(self, obj: Obj, /) -> None:
        """The object is gone."""
        ...


@dataclass(slots=True)
class Backend:
    """The parts that a verb needs. ``served`` answers for every resource of the table."""

    store: Store
    caches: Caches
    served: Callable[[Resource], Served]
    clock: Clock
    ids: Ids
    plugins: Sequence[Plugin] = ()
    # Acknowledged writes of this process are in its caches; a shared store needs to be asked.
    store_is_local: bool = True
    # By version-less name of the storage resource.
    settlers: Mapping[str, Settler] = field(default_factory=dict)
    # Of the running server: watches that wait for somebody else work in them.
    tasks: Tasks | None = None
    admission: Chain = field(init=False)

    def __post_init__(self) -> None:
        self.admission = Chain(self.plugins)

    def cache(self, served: Served) -> ResourceCache:
        return self.caches.of(served.storage)

    async def wait_fresh(self) -> None:
        """Until the caches hold everything acknowledged so far, by whichever server."""
        if not self.store_is_local:
            await self.caches.wait_current()

    async def item(self, served: Served, namespace: str | None, name: str) -> Item:
        """The current state of an object. Raises NotFound."""
        if not self.store_is_local:
            await self.caches.wait_current()
        item = self.cache(served).get(path_of(namespace, name))
        if item is None:
            resource = served.resource
            raise errors.not_found(resource.group, resource.plural, name)
        return item

    async def stored_item(self, served: Served, path: str) -> Item | None:
        """The object as the store itself has it now; what follows a lost race."""
        entry = await self.store.get(prefix_of(served.storage) + path)
        return None if entry is None else Item(path, entry.value, entry.mod_revision)
