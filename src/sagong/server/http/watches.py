"""Watch answers as streams: chunked JSON lines, or WebSocket messages where asked."""

from collections.abc import AsyncIterator, Callable, Sequence

import orjson
from aiohttp import web

from sagong.api.call import Event, EventType, Watching
from sagong.core.tasks import task_group
from sagong.server.cache import SharedEvent
from sagong.server.http.exchange import Exchange
from sagong.server.registry.watching import WatchStream

# How soon after its client has gone a quiet watch ends.
CLIENT_LOOK_SECONDS = 10.0

# From an event to its line; None for the line that all watchers of the event share.
Shape = Callable[[Event], bytes] | None


def line_of(event: Event, shape: Shape) -> bytes:
    """``{"type":...,"object":...}`` and a line feed."""
    if shape is not None and event.type is not EventType.ERROR:
        return shape(event)
    if isinstance(event, SharedEvent):
        return event.line
    obj = event.encoded.data
    return b'{"type":%b,"object":%b}\n' % (orjson.dumps(event.type), obj)


async def batches(events: AsyncIterator[Event]) -> AsyncIterator[Sequence[Event]]:
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


async def stream(exchange: Exchange, answer: Watching, shape: Shape) -> web.StreamResponse:
    """Send events until the watch ends or the client goes."""
    if isinstance(answer.events, WatchStream):
        _end_with_client(exchange.request, answer.events)
    try:
        if exchange.request.headers.get("Upgrade", "").lower() == "websocket":
            return await _over_websocket(exchange, answer, shape)
        return await _as_lines(exchange, answer, shape)
    finally:
        closing = getattr(answer.events, "aclose", None)
        if closing is not None:
            await closing()


def _end_with_client(request: web.BaseRequest, events: WatchStream) -> None:
    """End the watch soon after its client has gone: a quiet watch writes nothing to notice by."""

    def look() -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            events.end()
        else:
            events.call_later(CLIENT_LOOK_SECONDS, look)

    events.call_later(CLIENT_LOOK_SECONDS, look)


async def _as_lines(exchange: Exchange, answer: Watching, shape: Shape) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.headers["Audit-Id"] = exchange.audit_id
    response.headers["Cache-Control"] = "no-cache, private"
    response.enable_chunked_encoding()
    await response.prepare(exchange.request)
    try:
        async for batch in batches(answer.events):
            await response.write(b"".join([line_of(event, shape) for event in batch]))
        await response.write_eof()
    except ConnectionError:
        pass  # the client has gone: nothing is left to tell it
    return response


async def _over_websocket(exchange: Exchange, answer: Watching, shape: Shape) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    request = exchange.request
    assert isinstance(request, web.BaseRequest)
    await socket.prepare(request)
    async with task_group() as tasks:
        tasks.start(_read(socket, answer.events), name="watch over websocket")
        try:
            async for batch in batches(answer.events):
                for event in batch:
                    await socket.send_str(line_of(event, shape).decode().rstrip("\n"))
        except ConnectionError:
            pass  # as above
    await socket.close()
    return socket


async def _read(socket: web.WebSocketResponse, events: AsyncIterator[Event]) -> None:
    """Nothing is expected of the client but that it closes."""
    async for _ in socket:
        pass
    if isinstance(events, WatchStream):
        events.end()
