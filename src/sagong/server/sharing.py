"""Equal parts of cached objects are one: pods of one template have all but a few parts in common.

A decoded object takes five times the memory of its JSON, most of it small dicts. Objects in a cache
are never changed, so that parts that are equal may be the same; they are made so in place, a while
after they have come, and if somebody has decoded them. What is known to share is bounded: the parts
seen last, in two generations.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from sys import intern
from typing import Any

from sagong.api.types import Obj
from sagong.server.cache import ResourceCache

# An object that changes again sooner is not worth the work.
SETTLE_SECONDS = 1.0
# Leases and the like are small and change every ten seconds.
SMALL_SETTLE_SECONDS = 12.0
SMALL_BYTES_MAX = 1024
# Objects done in one go (a few milliseconds), and the pause before the next ones: a sixth of a core
# at most, while there is a backlog.
OBJECTS_AT_ONCE = 64
PAUSE_SECONDS = 0.05
# Objects that wait; past it the oldest keep all of their parts until they change again.
WAITING_MAX = 100_000
# Parts of a generation. Past it the generation before is forgotten and a new one begins.
PARTS_MAX = 8192

# Members whose strings are as good as never those of other objects.
_UNIQUE = frozenset(("name", "resourceVersion", "uid"))

_Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """A part that stands for all that are equal to it.

    Its key names the parts below it by identity, so they are held: a part may come to have another
    one in their place, and an identity must not go to somebody else.
    """

    part: Any
    below: tuple[Any, ...]


class Sharing:
    """The parts that are shared."""

    def __init__(self, *, parts_max: int = PARTS_MAX) -> None:
        self._parts_max = parts_max
        self._new: dict[_Key, _Part] = {}
        self._old: dict[_Key, _Part] = {}
        # The identities of the newer generation's parts: what changes little has them already.
        self._known: set[int] = set()

    def share(self, obj: Obj) -> None:
        """Replace parts of an object by equal ones of others. Nobody who reads it can tell."""
        for name, value in obj.items():
            if type(value) is dict or type(value) is list:
                obj[name] = self._shared(value)

    def _shared(self, part: Any) -> Any:
        """The part that stands for all that are equal to this one."""
        if id(part) in self._known:
            return part
        below: list[Any] = []
        items = enumerate(part) if type(part) is list else part.items()
        key = self._key(part, items, below)
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key) or _Part(part, tuple(below))
            if len(self._new) >= self._parts_max:
                self._old, self._new = self._new, {}
                self._known.clear()
            self._new[key] = found
            self._known.add(id(found.part))
        return found.part

    def _key(self, part: Any, items: Iterable[tuple[Any, Any]], below: list[Any]) -> _Key:
        """What the part is, to the type of each value (1 is neither true nor 1.0) and the order."""
        key: list[Any] = [type(part)]
        for name, value in items:
            key.append(name)
            type_ = type(value)
            if type_ is str:
                # Equal strings are one, too; those that nobody else has are left alone.
                if name not in _UNIQUE:
                    part[name] = intern(value)
                key.append(value)
            elif type_ is dict or type_ is list:
                shared = self._shared(value)
                if shared is not value:
                    part[name] = shared
                key.append(id(shared))
                below.append(shared)
            else:
                key += (type_, value)
        return tuple(key)


class Settling:
    """Objects of caches on their way to share what they have in common."""

    def __init__(self, sharing: Sharing, *, seconds: float = SETTLE_SECONDS) -> None:
        self._sharing = sharing
        self._seconds = seconds
        self._waiting: deque[tuple[float, ResourceCache, str, int]] = deque(maxlen=WAITING_MAX)
        self._some = asyncio.Event()

    def add(self, cache: ResourceCache, path: str, revision: int) -> None:
        """A cache has a new object."""
        since = asyncio.get_running_loop().time()
        self._waiting.append((since, cache, path, revision))
        self._some.set()

    async def run(self) -> None:
        """Share, until cancelled."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while True:
            if not waiting:
                self._some.clear()
                await self._some.wait()
            await asyncio.sleep(max(PAUSE_SECONDS, waiting[0][0] + self._seconds - loop.time()))
            latest = loop.time() - self._seconds
            for _ in range(OBJECTS_AT_ONCE):
                if not waiting or waiting[0][0] > latest:
                    break
                self._settle(*waiting.popleft()[1:])

    def _settle(self, cache: ResourceCache, path: str, revision: int) -> None:
        item = cache.get(path)
        if item is not None and item.revision == revision:
            obj = item.encoded.decoded
            if obj is not None:
                self._sharing.share(obj)
