"""The objects of one resource as last seen, with their indexes. Synchronous; waits for nothing."""

import asyncio
from collections.abc import Callable, Iterable

from sagong.api.meta import controller_uid, namespace_of, resource_version_of
from sagong.api.types import Obj
from sagong.ctl.controller import Following

Index = Callable[[Obj], Iterable[str]]
Handler = Callable[[Obj | None, Obj | None], None]

# The index behind Cache.owned_by.
OWNER_UID = "sagong/owner-uid"

_Slot = tuple[str, str]  # namespace and name


def _by_owner(obj: Obj) -> Iterable[str]:
    uid = controller_uid(obj)
    return (uid,) if uid else ()


def _slot(obj: Obj) -> _Slot:
    return namespace_of(obj), str(obj["metadata"]["name"])


class Objects:
    """One resource's objects, indexes, handlers and revision."""

    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self.following = Following(is_up=False, losses=0)
        # The newest resource version that a list, event or bookmark has brought.
        self.revision = 0
        self._by_slot: dict[_Slot, Obj] = {}
        self._by_namespace: dict[str, dict[str, Obj]] = {}
        self._indexes: dict[str, Index] = {}
        self._indexed: dict[str, dict[str, dict[_Slot, Obj]]] = {}
        self._handlers: list[Handler] = []
        self._waiters: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self.add_index(OWNER_UID, _by_owner)

    def get(self, namespace: str, name: str) -> Obj | None:
        return self._by_slot.get((namespace, name))

    def list(self, namespace: str | None) -> Iterable[Obj]:
        if namespace is None:
            return tuple(self._by_slot.values())
        return tuple(self._by_namespace.get(namespace, {}).values())

    def with_index(self, index: str, value: str) -> Iterable[Obj]:
        return tuple(self._indexed[index].get(value, {}).values())

    def count(self, index: str, value: str) -> int:
        return len(self._indexed[index].get(value, ()))

    def __len__(self) -> int:
        return len(self._by_slot)

    def add_index(self, name: str, index: Index) -> None:
        """Index the objects that are there and those to come. The first declaration counts."""
        if name in self._indexes:
            return
        self._indexes[name] = index
        self._indexed[name] = {}
        for slot, obj in self._by_slot.items():
            self._enter(name, slot, obj)

    def add_handler(self, handler: Handler) -> None:
        """Call with (None, obj) for what is there now, then with every change."""
        self._handlers.append(handler)
        for obj in tuple(self._by_slot.values()):
            handler(None, obj)

    def remove_handler(self, handler: Handler) -> None:
        self._handlers.remove(handler)

    def replace(self, objects: Iterable[Obj], revision: int) -> None:
        """Take over a list; handlers hear only of what differs from before."""
        fresh = {_slot(obj): obj for obj in objects}
        for slot in [slot for slot in self._by_slot if slot not in fresh]:
            self._change(slot, None, None)
        for slot, obj in fresh.items():
            old = self._by_slot.get(slot)
            if old is None or resource_version_of(old) != resource_version_of(obj):
                self._change(slot, obj, None)
        self.advance(revision)
        self.synced.set()

    def put(self, obj: Obj) -> None:
        """An object was added or modified."""
        self._change(_slot(obj), obj, None)
        self.advance(resource_version_of(obj))

    def remove(self, obj: Obj) -> None:
        """An object was deleted; ``obj`` is its last state."""
        slot = _slot(obj)
        if slot in self._by_slot:
            self._change(slot, None, obj)
        self.advance(resource_version_of(obj))

    def advance(self, revision: int) -> None:
        """Everything up to the revision has been seen."""
        self.revision = max(self.revision, revision)
        if not self._waiters:
            return
        for waiter, condition in tuple(self._waiters.items()):
            if not waiter.done() and condition():
                waiter.set_result(None)

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on what has been seen; it is asked again at every advance."""
        if condition():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = condition
        try:
            await waiter
        finally:
            del self._waiters[waiter]

    def _change(self, slot: _Slot, new: Obj | None, last: Obj | None) -> None:
        old = self._by_slot.get(slot)
        if old is not None:
            self._leave_all(slot, old)
        if new is not None:
            self._by_slot[slot] = new
            self._by_namespace.setdefault(slot[0], {})[slot[1]] = new
            for name in self._indexes:
                self._enter(name, slot, new)
        for handler in self._handlers:
            handler(last or old, new)

    def _leave_all(self, slot: _Slot, old: Obj) -> None:
        del self._by_slot[slot]
        siblings = self._by_namespace[slot[0]]
        del siblings[slot[1]]
        if not siblings:
            del self._by_namespace[slot[0]]
        for name, index in self._indexes.items():
            for value in index(old):
                found = self._indexed[name].get(value)
                if found is not None:
                    found.pop(slot, None)
                    if not found:
                        del self._indexed[name][value]

    def _enter(self, name: str, slot: _Slot, obj: Obj) -> None:
        for value in self._indexes[name](obj):
            self._indexed[name].setdefault(value, {})[slot] = obj
