"""Watch answers as streams: chunked JSON lines, or WebSocket messages where asked.

On a plain connection lines are written from the cache's own callbacks: a watcher has no task to be
woken, and a line that many watchers get is made once. A client that is behind is written to again
when it has caught up; what is pending meanwhile is bounded by ``WatchStream``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from sagong.api.call import Event, Watching
from sagong.core.tasks import task_group
from sagong.server.cache import SharedEvent
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered, Response, Stream
from sagong.server.registry.watching import WatchStream

if TYPE_CHECKING:
    from aiohttp import web

# How soon after its client has gone a quiet watch ends, on a connection that was taken over.
CLIENT_LOOK_SECONDS = 10.0
# Events written at a time, so that a large initial state notices that its client is behind.
EVENTS_AT_A_TIME = 64
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a watch's events are written where they are not the lines that all watchers share."""

    write: Callable[[Event], bytes]
    media_type: str = "application/json"


def _headers(shape: Shape | None) -> dict[str, str]:
    return {"Content-Type": "application/json" if shape is None else shape.media_type}


def line_of(event: Event, shape: Shape | None) -> bytes:
    """``{"type":...,"object":...}`` and a line feed, or what the shape makes of the event."""
    if shape is not None:
        return shape.write(event)
    if isinstance(event, SharedEvent):
        return event.line
    obj = event.encoded.data
    return b'{"type":%b,"object":%b}\n' % (orjson.dumps(event.type), obj)


def chunk_of(events: Sequence[Event], shape: Shape | None) -> bytes:
    """Events as one chunk of a chunked body."""
    if len(events) == 1 and shape is None and isinstance(events[0], SharedEvent):
        return events[0].chunk
    lines = b"".join([line_of(event, shape) for event in events])
    return b"%x\r\n%b\r\n" % (len(lines), lines)


async def stream(exchange: Exchange, answer: Watching, shape: Shape | None) -> Answered:
    """Send events until the watch ends or the client goes."""
    try:
        if exchange.incoming.taken is not None:
            return await _taken(exchange, answer, shape)
        to = exchange.incoming.stream
        assert to is not None, "a request came from nowhere"
        to.start(exchange, _headers(shape))
        if isinstance(answer.events, WatchStream):
            await _feed(to, answer.events, shape)
        else:
            await _pass_on(to, answer.events, shape)
        to.write(_LAST_CHUNK)
        return Response(sent=True)
    finally:
        closing = getattr(answer.events, "aclose", None)
        if closing is not None:
            await closing()


async def _feed(to: Stream, events: WatchStream, shape: Shape | None) -> None:
    feed = Feed(to, events, shape)
    to.listen(feed)
    events.feed(feed.flush)
    feed.flush()
    await feed.done


async def _pass_on(to: Stream, events: AsyncIterator[Event], shape: Shape | None) -> None:
    async for event in events:
        to.write(chunk_of([event], shape))
        await to.drain()


class Feed:
    """Between a watch and a connection: writes what there is while the client keeps up."""

    __slots__ = ("_events", "_shape", "_to", "_writable", "done")

    def __init__(self, to: Stream, events: WatchStream, shape: Shape | None) -> None:
        self._to = to
        self._events = events
        self._shape = shape
        self._writable = True
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def flush(self) -> None:
        """Write pending events; called when there are some, and when the watch has ended."""
        events = self._events
        while self._writable and (batch := events.take(EVENTS_AT_A_TIME)):
            self._writable = self._to.write(chunk_of(batch, self._shape))
        if events.is_over and not self.done.done():
            self.done.set_result(None)

    def on_writable(self) -> None:
        self._writable = True
        self.flush()

    def on_gone(self) -> None:
        self._writable = False
        self._events.end()
        if not self.done.done():
            self.done.set_result(None)


# On connections in aiohttp's hands


async def _taken(exchange: Exchange, answer: Watching, shape: Shape | None) -> Answered:
    if isinstance(answer.events, WatchStream):
        _end_with_client(exchange.request, answer.events)
    if exchange.incoming.headers.get("Upgrade").lower() == "websocket":
        return await _over_websocket(exchange, answer, shape)
    return await _as_lines(exchange, answer, shape)


async def _batches(events: AsyncIterator[Event]) -> AsyncIterator[Sequence[Event]]:
    """Events as they come, those that are there together."""
    if not isinstance(events, WatchStream):
        async for event in events:
            yield [event]
        return
    while True:
        try:
            batch = await events.wait_batch()
        except StopAsyncIteration:
            return
        yield batch


def _end_with_client(request: "web.BaseRequest", events: WatchStream) -> None:
    """End the watch soon after its client has gone: a quiet watch writes nothing to notice by."""

    def look() -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            events.end()
        else:
            events.call_later(CLIENT_LOOK_SECONDS, look)

    events.call_later(CLIENT_LOOK_SECONDS, look)


async def _as_lines(exchange: Exchange, answer: Watching, shape: Shape | None) -> Answered:
    from aiohttp import web  # it is there: the connection is in its hands

    response = web.StreamResponse(headers=_headers(shape))
    response.headers["Audit-Id"] = exchange.audit_id
    response.headers["Cache-Control"] = "no-cache, private"
    if exchange.request.version >= (1, 1):
        response.enable_chunked_encoding()
    await response.prepare(exchange.request)
    try:
        async for batch in _batches(answer.events):
            await response.write(b"".join([line_of(event, shape) for event in batch]))
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone: nothing is left to tell it
    return response


async def _over_websocket(exchange: Exchange, answer: Watching, shape: Shape | None) -> Answered:
    from aiohttp import web  # as above

    socket = web.WebSocketResponse()
    await socket.prepare(exchange.request)
    async with task_group() as tasks:
        tasks.start(_read(socket, answer.events), name="watch over websocket")
        try:
            async for batch in _batches(answer.events):
                for event in batch:
                    line = line_of(event, shape)
                    if shape is not None and shape.media_type != "application/json":
                        await socket.send_bytes(line)
                    else:
                        await socket.send_str(line.decode().rstrip("\n"))
        except ConnectionError:
            pass  # as above
    await socket.close()
    return socket


async def _read(socket: "web.WebSocketResponse", events: AsyncIterator[Event]) -> None:
    """Nothing is expected of the client but that it closes."""
    async for _ in socket:
        pass
    if isinstance(events, WatchStream):
        events.end()
