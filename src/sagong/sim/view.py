"""What is in the store, change by change: the truth that checkers look at.

It stands beside the API, not behind it: no fault, crash or delay of the simulation hides anything.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from sagong.api.resources import ResourceTable
from sagong.api.types import Key, Obj
from sagong.server.keys import REGISTRY, prefix_of, split_key
from sagong.store.interface import Change, Store


@dataclass(frozen=True, slots=True)
class Seen:
    """One change of one object; ``old`` is None for a creation, ``new`` for a deletion."""

    resource: str
    key: Key
    old: Obj | None
    new: Obj | None
    revision: int


# Raises AssertionError if the change, or the world after it, is not as it must be.
Check = Callable[["View", Seen], None]


class View:
    """All stored objects by resource and key, and the checks that every change must pass."""

    def __init__(self, resources: ResourceTable) -> None:
        # Several versions of a resource are stored under one prefix; the first one names it.
        self._names: dict[str, str] = {}
        for resource in resources:
            self._names.setdefault(prefix_of(resource), resource.name)
        self._objects: dict[str, dict[Key, Obj]] = {}
        self.checks: list[Check] = []
        self.broken: list[str] = []
        self.revision = 1
        self._advanced = asyncio.Event()

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        return self._objects.get(resource, {}).get(Key(namespace, name))

    def list(self, resource: str, namespace: str | None = None) -> list[Obj]:
        found = self._objects.get(resource, {})
        return [o for k, o in found.items() if namespace is None or k.namespace == namespace]

    def all(self) -> Iterable[tuple[str, Obj]]:
        """Every object with the name of its resource."""
        for resource, objects in self._objects.items():
            for obj in objects.values():
                yield resource, obj

    async def follow(self, store: Store) -> None:
        """Take in every change of a store from its beginning, until cancelled."""
        async for batch in store.watch(REGISTRY, start_revision=self.revision + 1):
            for change in batch.changes:
                seen = self._take(change)
                if seen is not None:
                    self._check(seen)
            self.revision = batch.revision
            self._advanced.set()

    async def wait_revision(self, revision: int) -> None:
        """Until every change up to a revision has been looked at."""
        while self.revision < revision:
            self._advanced.clear()
            await self._advanced.wait()

    def _take(self, change: Change) -> Seen | None:
        split = split_key(change.key, self._names)
        if split is None:
            return None
        resource, path = self._names[split[0]], split[1]
        namespace, slash, name = path.rpartition("/")
        key = Key(namespace if slash else "", name)
        objects = self._objects.setdefault(resource, {})
        old = objects.pop(key, None)
        new = None if change.value is None else orjson.loads(change.value)
        if new is not None:
            objects[key] = new
        return Seen(resource, key, old, new, change.revision)

    def _check(self, seen: Seen) -> None:
        for check in self.checks:
            try:
                check(self, seen)
            except AssertionError as error:
                what = f"{seen.resource} {seen.key.namespace}/{seen.key.name}"
                self.broken.append(f"revision {seen.revision}, {what}: {error}")
