"""The last step of a write: one compare-and-swap, and the object as it then is."""

from sagong.api.types import Encoded, Obj
from sagong.server.cache import Item
from sagong.server.keys import prefix_of
from sagong.server.registry.backend import Backend
from sagong.server.registry.served import Served
from sagong.server.stored import from_stored, to_stored
from sagong.store.interface import Compare, Delete, Put


class Lost(Exception):
    """Somebody else was faster; ``item`` is the object as they left it (None: gone)."""

    def __init__(self, item: Item | None) -> None:
        super().__init__()
        self.item = item


async def insert(backend: Backend, served: Served, path: str, obj: Obj) -> Encoded:
    """Store a new object. Raises Lost if the path is taken."""
    key = prefix_of(served.storage) + path
    data = to_stored(obj)
    result = await backend.store.txn([Compare(key, 0)], [Put(key, data)])
    if not result.succeeded:
        found = result.found[0]
        raise Lost(None if found is None else Item(path, found.value, found.mod_revision))
    return await _written(backend, served, path, data, result.revision)


async def replace(
    backend: Backend, served: Served, item: Item, obj: Obj, *, is_shared: bool = False
) -> Encoded:
    """Store a new state of an object; the old one if nothing differs. Raises Lost.

    What is shared, and is never changed any more, the cache takes over as it is, not decoded again.
    """
    data = to_stored(obj)
    if data == item.stored:
        return item.encoded
    key = prefix_of(served.storage) + item.path
    with backend.caches.expecting(data, obj if is_shared else None):
        result = await backend.store.txn([Compare(key, item.revision)], [Put(key, data)])
        if not result.succeeded:
            found = result.found[0]
            raise Lost(None if found is None else Item(item.path, found.value, found.mod_revision))
        return await _written(backend, served, item.path, data, result.revision)


async def _written(
    backend: Backend, served: Served, path: str, data: bytes, revision: int
) -> Encoded:
    """The object at its new revision: the cache's own, unless somebody was faster again."""
    await backend.caches.wait_revision(revision)
    item = backend.cache(served).get(path)
    if item is not None and item.revision == revision:
        return item.encoded
    return from_stored(data, revision)


async def remove(backend: Backend, served: Served, item: Item) -> Encoded:
    """Delete an object; its last state at the revision of its deletion. Raises Lost."""
    key = prefix_of(served.storage) + item.path
    result = await backend.store.txn([Compare(key, item.revision)], [Delete(key)])
    if not result.succeeded:
        found = result.found[0]
        raise Lost(None if found is None else Item(item.path, found.value, found.mod_revision))
    await backend.caches.wait_revision(result.revision)
    return from_stored(item.stored, result.revision)


async def released(backend: Backend, served: Served, obj: Obj) -> None:
    """Give back what was allocated to an object that is gone."""
    settler = backend.settlers.get(served.storage.name)
    if settler is not None:
        await settler.release(obj)
