"""Watch answers as streams: chunked JSON lines, or WebSocket messages where asked."""

from collections.abc import AsyncIterator, Callable, Sequence

import orjson
from aiohttp import web

from sagong.api.call import Event, EventType, Watching
from sagong.server.cache import SharedEvent
from sagong.server.http.exchange import Exchange
from sagong.server.registry.watching import WatchStream

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
    try:
        if exchange.request.headers.get("Upgrade", "").lower() == "websocket":
            return await _over_websocket(exchange, answer, shape)
        return await _as_lines(exchange, answer, shape)
    finally:
        closing = getattr(answer.events, "aclose", None)
        if closing is not None:
            await closing()


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
    try:
        async for batch in batches(answer.events):
            for event in batch:
                await socket.send_str(line_of(event, shape).decode().rstrip("\n"))
    except ConnectionError:
        pass  # as above
    await socket.close()
    return socket
