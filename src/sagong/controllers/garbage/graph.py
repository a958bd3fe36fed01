"""Who owns whom, over all resources. A synchronous state machine fed by cache events."""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.meta import (
    finalizers_of,
    is_deleting,
    name_of,
    namespace_of,
    owner_references_of,
    uid_of,
)
from sagong.api.types import Obj

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class Item:
    """One object, wherever it is served."""

    resource: str
    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.resource} {self.namespace}/{self.name}"


def item_of(resource: str, obj: Obj) -> Item:
    return Item(resource, namespace_of(obj), name_of(obj), uid_of(obj))


class Graph:
    """Dependents by their owner's uid."""

    def __init__(self) -> None:
        # In the order in which they came, so that a seeded run repeats itself.
        self._dependents: dict[str, dict[Item, None]] = {}

    def dependents(self, uid: str) -> Iterable[Item]:
        return tuple(self._dependents.get(uid, ()))

    def change(self, resource: str, old: Obj | None, new: Obj | None) -> list[Item]:
        """Take an event in; the items that must be looked at because of it."""
        before = {ref["uid"]: None for ref in owner_references_of(old)} if old else {}
        after = {ref["uid"]: None for ref in owner_references_of(new)} if new else {}
        current = new or old
        assert current is not None
        item = item_of(resource, current)
        for uid in before:
            if uid not in after:
                self._forget(uid, item)
        for uid in after:
            if uid not in before:
                self._dependents.setdefault(uid, {})[item] = None
        if new is None:
            # Dependents lose an owner; owners that wait for their dependents may go on.
            return [*self.dependents(item.uid), *_owners(item, current)]
        waking: list[Item] = []
        if (before or after) and (old is None or before != after or _refs(old) != _refs(new)):
            waking.append(item)
            # An owner may have waited for a reference that is gone, or blocks no more.
            waking += _owners(item, old) if old is not None else ()
        if is_deleting(new) and (old is None or _phase(old) != _phase(new)):
            waking += [item, *self.dependents(item.uid)]
        return waking

    def _forget(self, uid: str, item: Item) -> None:
        items = self._dependents.get(uid)
        if items is not None:
            items.pop(item, None)
            if not items:
                del self._dependents[uid]


def _refs(obj: Obj) -> list[Obj]:
    return owner_references_of(obj)


def _phase(obj: Obj) -> tuple[bool, list[str]]:
    return is_deleting(obj), finalizers_of(obj)


def _owners(item: Item, obj: Obj) -> list[Item]:
    """Owners as items without a resource: they are found again by kind."""
    return [
        Item(f"{ref['apiVersion']}/{ref['kind']}", item.namespace, ref["name"], ref["uid"])
        for ref in owner_references_of(obj)
    ]


def waits_for_dependents(obj: Obj) -> bool:
    return is_deleting(obj) and FOREGROUND in finalizers_of(obj)


def orphans_dependents(obj: Obj) -> bool:
    return is_deleting(obj) and ORPHAN in finalizers_of(obj)
