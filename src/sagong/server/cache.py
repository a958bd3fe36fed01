"""The watch cache of one storage resource: current objects, recent events, watchers.

Everything here is synchronous: one consumer of the store's watch (``caches.py``) applies changes,
readers read between two changes, and watchers are handed events into bounded buffers. What is in
the cache is immutable and shared by every reader.
"""

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from sagong.api.call import Event, EventType
from sagong.api.types import Encoded, Obj, Resource
from sagong.server.keys import namespace_of_path
from sagong.server.pages import Bodies, Page, Pages
from sagong.server.stored import from_stored, stored_of

# Events kept per resource, for watches that resume. A client that was away for longer relists.
EVENTS_KEPT = 4096
# Watchers written to in one turn of the loop. What they were written leaves at its end, so that the
# first of a thousand read while the last are still to come, and requests are answered in between.
DELIVERIES_A_TURN = 16


class SharedEvent(Event):
    """A watch event that is encoded once, for however many watchers it has."""

    __slots__ = ("_chunk", "_frame", "_line")
    _chunk: bytes
    _frame: bytes
    _line: bytes

    @property
    def line(self) -> bytes:
        """``{"type":...,"object":...}`` and a line feed."""
        try:
            line = self._line
        except AttributeError:
            line = b'{"type":"%b","object":%b}\n' % (self.type.encode(), self.encoded.data)
            object.__setattr__(self, "_line", line)
        return line

    def frame(self, make: Callable[[Event], bytes]) -> bytes:
        """The event as a message of protobuf, which ``make`` makes."""
        try:
            frame = self._frame
        except AttributeError:
            frame = make(self)
            object.__setattr__(self, "_frame", frame)
        return frame

    @property
    def chunk(self) -> bytes:
        """The line as a chunk of a chunked HTTP body."""
        try:
            chunk = self._chunk
        except AttributeError:
            line = self.line
            chunk = b"%x\r\n%b\r\n" % (len(line), line)
            object.__setattr__(self, "_chunk", chunk)
        return chunk


class Item:
    """One object in the cache. It holds the object's bytes once, as clients see them."""

    __slots__ = ("encoded", "path", "revision")

    def __init__(self, path: str, stored: bytes, revision: int, decoded: Obj | None = None) -> None:
        """``decoded`` is what the stored bytes say, if somebody has it at hand."""
        self.path = path
        self.revision = revision
        self.encoded = from_stored(stored, revision, decoded)

    def supersede(self) -> None:
        """Be bytes only: who has the object in hand, or on its way, keeps what is decoded of it."""
        self.encoded = Encoded(data=self.encoded.data)

    @property
    def stored(self) -> bytes:
        """The bytes that the store has."""
        return stored_of(self.encoded.data, self.revision)


class Change:
    """One change of one object, with what it was before (None: created), is now (None: gone)."""

    __slots__ = ("_events", "after", "before", "path", "revision")

    def __init__(self, path: str, before: Item | None, after: Item | None, revision: int) -> None:
        self.path = path
        self.before = before
        self.after = after
        self.revision = revision
        self._events: dict[EventType, SharedEvent] = {}

    def event(self, type_: EventType) -> SharedEvent:
        """The change as an event of this type; a DELETED one shows the last state."""
        event = self._events.get(type_)
        if event is None:
            event = self._events[type_] = SharedEvent(type_, self._shown(type_))
        return event

    def settle(self) -> None:
        """Everybody has been told: keep no more than who resumes may need, which is bytes.

        What is on its way to watchers they hold themselves.
        """
        self._events.clear()
        if self.before is not None:
            self.before.supersede()

    def _shown(self, type_: EventType) -> Encoded:
        if type_ is EventType.DELETED and self.before is not None:
            return from_stored(self.before.stored, self.revision)
        assert self.after is not None
        return self.after.encoded


class Watcher(Protocol):
    """Somebody who is told of each change under a path prefix."""

    def on_change(self, change: Change) -> None: ...

    def on_lost(self) -> None:
        """Changes may have been missed: the watch must end."""
        ...


class Deliveries:
    """Watchers with events to write, in order, some in each turn of the loop."""

    def __init__(self) -> None:
        self._due: deque[Callable[[], None]] = deque()
        self._is_running = False

    def add(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` soon; its owner adds it once until then."""
        self._due.append(flush)
        if not self._is_running:
            self._is_running = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        due = self._due
        for _ in range(min(len(due), DELIVERIES_A_TURN)):
            due.popleft()()
        self._is_running = bool(due)
        if due:
            asyncio.get_running_loop().call_soon(self._run)


class ResourceCache:
    """See the module's docstring."""

    def __init__(
        self, resource: Resource, bodies: Bodies | None = None, *, events_kept: int = EVENTS_KEPT
    ) -> None:
        self.resource = resource
        self.version = 0  # the revision of the last change or listing
        self.floor = 0  # changes after this revision are all in the ring
        self._items: dict[str, Item] = {}
        self._paths: list[str] = []
        self._ring: deque[Change] = deque()
        self._events_kept = events_kept
        self._pages = Pages(bodies or Bodies())
        # By scope: "" (everything), "<namespace>/" or the path of one object.
        self._watchers: dict[str, dict[Watcher, None]] = {}
        self.deliveries = Deliveries()

    def load(self, items: Sequence[Item], revision: int) -> None:
        """Start from a listing at a revision; items in path order."""
        self._items = {item.path: item for item in items}
        self._paths = sorted(self._items)
        self._pages.expire()
        self.version = revision
        self.floor = revision
        self._ring.clear()

    def get(self, path: str) -> Item | None:
        return self._items.get(path)

    def __len__(self) -> int:
        return len(self._items)

    def items(self, scope: str = "", *, start: str = "", limit: int = 0) -> tuple[list[Item], int]:
        """Items of a scope in path order from ``start`` on, and how many more the limit left."""
        paths = self._paths
        low = bisect_left(paths, max(scope, start))
        high = bisect_left(paths, scope[:-1] + "0", low) if scope else len(paths)
        end = min(high, low + limit) if limit else high
        return [self._items[path] for path in paths[low:end]], high - end

    def page(self, scope: str = "", *, start: str = "", limit: int = 0) -> Page:
        """The same as ``items``: until the next change one page for all who ask."""
        return self._pages.get(scope, start, limit, self._items_of)

    def _items_of(self, scope: str, start: str, limit: int) -> tuple[list[Item], int]:
        return self.items(scope, start=start, limit=limit)

    def count(self, scope: str = "") -> int:
        """How many objects a scope holds."""
        low = bisect_left(self._paths, scope)
        return (bisect_left(self._paths, scope[:-1] + "0", low) if scope else len(self)) - low

    def apply(
        self, path: str, stored: bytes | None, revision: int, decoded: Obj | None = None
    ) -> None:
        """Take over one change from the store and tell the watchers."""
        before = self._items.get(path)
        after = Item(path, stored, revision, decoded) if stored is not None else None
        if after is None:
            if before is None:
                return
            del self._items[path]
            del self._paths[bisect_left(self._paths, path)]
        else:
            if before is None:
                insort(self._paths, path)
            self._items[path] = after
        self.version = revision
        self._pages.expire()
        change = Change(path, before, after, revision)
        self._remember(change)
        self._tell(change)
        change.settle()

    def changes_since(self, revision: int, scope: str) -> Iterator[Change]:
        """Kept changes after a revision (not below ``floor``), oldest first."""
        recent: list[Change] = []
        for change in reversed(self._ring):
            if change.revision <= revision:
                break
            recent.append(change)
        for change in reversed(recent):
            if (
                not scope
                or change.path == scope
                or (scope.endswith("/") and change.path.startswith(scope))
            ):
                yield change

    def add_watcher(self, scope: str, watcher: Watcher) -> None:
        self._watchers.setdefault(scope, {})[watcher] = None

    def remove_watcher(self, scope: str, watcher: Watcher) -> None:
        watchers = self._watchers.get(scope)
        if watchers is not None:
            watchers.pop(watcher, None)
            if not watchers:
                del self._watchers[scope]

    @property
    def watcher_count(self) -> int:
        return sum(len(watchers) for watchers in self._watchers.values())

    def all_watchers(self) -> list[Watcher]:
        return [watcher for watchers in self._watchers.values() for watcher in watchers]

    def _remember(self, change: Change) -> None:
        self._ring.append(change)
        if len(self._ring) > self._events_kept:
            self.floor = self._ring.popleft().revision

    def _tell(self, change: Change) -> None:
        if not self._watchers:
            return
        namespace = namespace_of_path(change.path)
        scopes = ("", namespace + "/", change.path) if namespace else ("", change.path)
        for scope in scopes:
            for watcher in tuple(self._watchers.get(scope, ())):
                watcher.on_change(change)
