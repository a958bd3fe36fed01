"""Watch: events of a collection from a resource version on, bounded per watcher."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from sagong.api import errors
from sagong.api.call import Call, Event, EventType, Options, Watching
from sagong.api.types import Encoded, Obj
from sagong.server.cache import Change, Item, ResourceCache, SharedEvent
from sagong.server.keys import path_of, scope_of
from sagong.server.registry.answers import shown
from sagong.server.registry.backend import Backend
from sagong.server.registry.listing import parse_version, wait_for_revision
from sagong.server.registry.selection import Predicate, name_from_fields, predicate_of
from sagong.server.registry.served import Served

# Events that a watcher may be behind. Past it the watch ends and the client resumes from the last
# version it saw, which the ring of the cache still covers.
WATCH_BUFFER_EVENTS = 1024
BOOKMARK_SECONDS = 60.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
# Watches without a timeout of their own get one between these (upstream's min-request-timeout).
TIMEOUT_SECONDS_MIN = 1800.0


class WatchStream:
    """The events of one watch; an async iterator that a cache feeds synchronously.

    ``wait_batch`` gives all events that are there, so that a transport can send them in one write.
    A transport with callbacks is called when there are events (``feed``) and takes them (``take``).
    """

    __slots__ = (
        "_after", "_cache", "_convert", "_ended", "_flush", "_is_due", "_pending", "_predicate",
        "_scope", "_timers", "_wakeup", "on_close",
    )  # fmt: skip

    def __init__(
        self,
        cache: ResourceCache,
        scope: str,
        predicate: Predicate | None,
        *,
        after: int,
        convert: Callable[[SharedEvent], SharedEvent] | None = None,
    ) -> None:
        self._cache = cache
        self._scope = scope
        self._predicate = predicate
        self._after = after  # changes up to this revision are not wanted
        self._convert = convert
        # Nothing but when there are events: thousands of watches wait for most of their time.
        self._pending: deque[SharedEvent] | tuple[()] = ()
        self._wakeup: asyncio.Future[None] | None = None
        self._ended = False
        self._flush: Callable[[], None] | None = None
        self._is_due = False  # is a flush to come?
        self._timers: list[asyncio.TimerHandle] = []
        # Told of the end, so that the server can wait for all watches when it stops.
        self.on_close: Callable[[WatchStream], None] = _nobody

    # Told by the cache

    def on_change(self, change: Change) -> None:
        if self._ended or change.revision <= self._after:
            return
        type_ = self._type_of(change)
        if type_ is None:
            return
        if len(self._pending) >= WATCH_BUFFER_EVENTS:
            self.end()
            return
        self.put(change.event(type_))

    def on_lost(self) -> None:
        self.end()

    def _type_of(self, change: Change) -> EventType | None:
        selects, before, after = self._predicate, change.before, change.after
        had = before is not None and (selects is None or selects(before.encoded.obj))
        has = after is not None and (selects is None or selects(after.encoded.obj))
        if has:
            return EventType.MODIFIED if had else EventType.ADDED
        return EventType.DELETED if had else None

    def put(self, event: SharedEvent) -> None:
        """Hand an event to the reader."""
        pending = self._pending
        if isinstance(pending, tuple):
            pending = self._pending = deque()
        pending.append(self._convert(event) if self._convert else event)
        self._wake()

    def _wake(self) -> None:
        if self._flush is not None and not self._is_due:
            self._is_due = True  # once for all events until then
            self._cache.deliveries.add(self._flush)
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def end(self) -> None:
        """No more events come; what is pending is still read."""
        self._ended = True
        self._detach()
        self._wake()

    def _detach(self) -> None:
        self._cache.remove_watcher(self._scope, self)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    # Set up

    def attach(self) -> None:
        self._cache.add_watcher(self._scope, self)

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call back unless the watch has ended by then."""
        if self._ended:
            return
        now = asyncio.get_running_loop().time()
        self._timers = [timer for timer in self._timers if timer.when() > now]
        self._timers.append(asyncio.get_running_loop().call_later(seconds, function))

    # Read by the transport

    def feed(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` soon after events have come, and when the watch has ended."""
        self._flush = flush

    def take(self, most: int) -> Sequence[SharedEvent]:
        """Up to so many pending events, oldest first."""
        self._is_due = False
        pending = self._pending
        if isinstance(pending, tuple) or len(pending) <= most:
            self._pending = ()
            return list(pending)
        return [pending.popleft() for _ in range(most)]

    @property
    def is_over(self) -> bool:
        """Has the watch ended, and has everything been taken?"""
        return self._ended and not self._pending

    def __aiter__(self) -> "WatchStream":
        return self

    async def __anext__(self) -> Event:
        while not isinstance(self._pending, deque) or not self._pending:
            await self._wait()
        return self._pending.popleft()

    async def wait_batch(self) -> Sequence[SharedEvent]:
        """All pending events, at least one; raises StopAsyncIteration at the end."""
        while not self._pending:
            await self._wait()
        return self.take(len(self._pending))

    async def _wait(self) -> None:
        if self._ended:
            self.on_close(self)
            raise StopAsyncIteration
        self._wakeup = asyncio.get_running_loop().create_future()
        try:
            await self._wakeup
        finally:
            self._wakeup = None

    async def aclose(self) -> None:
        """End the watch; pending events are dropped."""
        self._pending = ()
        self.end()
        self.on_close(self)


def _nobody(stream: WatchStream) -> None:
    """Nobody wants to know."""


async def watch(
    backend: Backend, call: Call, make: Callable[..., WatchStream] | None = None
) -> Watching:
    """Begin a watch; ``make`` makes its stream, if it is not of the plain sort.

    Raises BadRequest, Invalid, Timeout; "too old" comes as an ERROR event.
    """
    served, options = backend.served(call.resource), call.options
    check_watch_options(options)
    predicate = predicate_of(served, options)
    revision = parse_version(options.resource_version)
    if options.resource_version == "" or options.send_initial_events:
        await backend.wait_fresh()
    if options.send_initial_events and revision > 0:
        await wait_for_revision(backend, revision)
    cache = backend.cache(served)
    initial = _wants_initial(options, revision)
    after = backend.caches.revision if initial or revision == 0 else revision
    scope = _scope(call)
    stream = (make or WatchStream)(
        cache, scope, predicate, after=after, convert=_conversion(served)
    )
    if not initial and 0 < revision < cache.floor:
        stream.put(_expired(revision, cache.floor))
        stream.end()
        return Watching(stream)
    if initial:
        _put_state(stream, cache, scope, predicate if make is None else None)
        if options.send_initial_events and options.allow_watch_bookmarks:
            stream.put(bookmark(served, after, initial_end=True))
    elif revision > 0:
        for change in cache.changes_since(revision, scope):
            stream.on_change(change)
    stream.attach()
    _schedule(backend, served, stream, options)
    return Watching(stream)


def check_watch_options(options: Options) -> None:
    """Refuse contradictions, as ValidateListOptions does for watches."""
    causes: list[Obj] = []
    match = options.resource_version_match

    def forbid(field: str, detail: str) -> None:
        causes.append(
            {"reason": "FieldValueForbidden", "message": f"Forbidden: {detail}", "field": field}
        )

    if options.send_initial_events is not None:
        if match != "NotOlderThan":
            forbid(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )
    elif match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        forbid("resourceVersionMatch", why)
    if match and match != "NotOlderThan":
        message = f'Unsupported value: "{match}": supported values: "NotOlderThan"'
        field = "resourceVersionMatch"
        causes.append({"reason": "FieldValueNotSupported", "message": message, "field": field})
    if match and options.continue_:
        why = "resourceVersionMatch is forbidden when continue is provided"
        forbid("resourceVersionMatch", why)
    if causes:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", causes)


def _wants_initial(options: Options, revision: int) -> bool:
    if options.send_initial_events is not None:
        return options.send_initial_events
    return revision == 0


def _scope(call: Call) -> str:
    """The narrowest scope that holds everything the watch can select."""
    name = call.name or name_from_fields(call.options)
    if name and (call.namespace or not call.resource.namespaced):
        return path_of(call.namespace, name)
    return scope_of(call.namespace)


def _conversion(served: Served) -> Callable[[SharedEvent], SharedEvent] | None:
    if not served.is_converted:
        return None

    def convert(event: SharedEvent) -> SharedEvent:
        if event.type in (EventType.BOOKMARK, EventType.ERROR):
            return event
        return SharedEvent(event.type, shown(served, event.encoded))

    return convert


def _put_state(
    stream: WatchStream, cache: ResourceCache, scope: str, predicate: Predicate | None
) -> None:
    """Everything there is as ADDED; beyond the buffer's bound, for it is read at once."""
    items: list[Item]
    if scope and not scope.endswith("/"):
        item = cache.get(scope)
        items = [item] if item else []
    else:
        items, _ = cache.items(scope)
    for item in items:
        if predicate is None or predicate(item.encoded.obj):
            stream.put(SharedEvent(EventType.ADDED, item.encoded))


def _expired(revision: int, floor: int) -> SharedEvent:
    error = errors.Expired(f"too old resource version: {revision} ({floor})")
    return SharedEvent(EventType.ERROR, Encoded(error.status()))


def bookmark(served: Served, revision: int, *, initial_end: bool = False) -> SharedEvent:
    """How far the watch has come, in an otherwise empty object of its kind."""
    metadata: Obj = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
    obj: Obj = {
        "kind": served.resource.kind,
        "apiVersion": served.resource.api_version,
        "metadata": metadata,
    }
    return SharedEvent(EventType.BOOKMARK, Encoded(obj))


def _schedule(backend: Backend, served: Served, stream: WatchStream, options: Options) -> None:
    """Bookmarks each minute and at the end; the end itself."""

    def mark() -> None:
        stream.put(bookmark(served, backend.caches.revision))

    def mark_again() -> None:
        mark()
        stream.call_later(BOOKMARK_SECONDS, mark_again)

    def finish() -> None:
        if options.allow_watch_bookmarks:
            mark()
        stream.end()

    if options.allow_watch_bookmarks:
        stream.call_later(BOOKMARK_SECONDS, mark_again)
    seconds = options.timeout_seconds
    stream.call_later(seconds or TIMEOUT_SECONDS_MIN * (1 + backend.ids.random()), finish)
