"""Which objects an owner may claim, and which owners an object's change concerns."""

from collections.abc import Callable, Iterable
from functools import lru_cache

import orjson

from sagong.api.meta import controller_of, key_of, labels_of, namespace_of, uid_of
from sagong.api.selectors import Selector, selector_from_object
from sagong.api.types import Key, Obj
from sagong.ctl.controller import Cache, Mapper, Watch

ORPHANS = "orphans"


def _orphan(obj: Obj) -> Iterable[str]:
    return () if controller_of(obj) else (namespace_of(obj),)


# By namespace, the objects that no controller owns.
ORPHAN_INDEX: dict[str, Callable[[Obj], Iterable[str]]] = {ORPHANS: _orphan}


@lru_cache(maxsize=4096)
def _compiled(selector: bytes) -> Selector:
    return selector_from_object(orjson.loads(selector))


def selector_of(owner: Obj) -> Selector:
    """The owner's pod selector: a label selector, or the map of a ReplicationController."""
    selector = owner["spec"].get("selector")
    if owner["kind"] == "ReplicationController":
        labels = selector or ((owner["spec"].get("template") or {}).get("metadata") or {}).get(
            "labels"
        )
        selector = {"matchLabels": labels} if labels else None
    return _compiled(orjson.dumps(selector, option=orjson.OPT_SORT_KEYS))


def matches_of(owner: Obj) -> Callable[[Obj], bool]:
    """Whether the owner's selector matches an object."""
    selector = selector_of(owner)
    return lambda obj: selector.matches(labels_of(obj))


def candidates(cache: Cache, resource: str, owner: Obj) -> list[Obj]:
    """The owner's objects and those without an owner."""
    owned = cache.owned_by(resource, uid_of(owner))
    return [*owned, *cache.with_index(resource, ORPHANS, namespace_of(owner))]


def claimed_by(owner_resource: str, owner_kind: str) -> Mapper:
    """Wake the owner of a changed object, or for an orphan every owner that would take it."""

    def wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
        keys: dict[Key, None] = {}  # an ordered set
        for obj in (old, new):
            ref = controller_of(obj) if obj else None
            if obj and ref and ref["kind"] == owner_kind:
                keys[Key(namespace_of(obj), ref["name"])] = None
        if new is not None and controller_of(new) is None:
            labels = labels_of(new)
            for owner in cache.list(owner_resource, namespace_of(new)):
                if selector_of(owner).matches(labels):
                    keys[key_of(owner)] = None
        return keys

    return wakes


def claims(resource: str, owner_resource: str, owner_kind: str) -> Watch:
    """Watch objects that the owner creates, adopts and releases."""
    return Watch(resource, claimed_by(owner_resource, owner_kind), ORPHAN_INDEX)
