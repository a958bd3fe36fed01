"""``pods/log``: the log of a container, from the agent of its node."""

import asyncio
import base64
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from sagong.api.call import Call
from sagong.api.errors import ApiError, BadRequest, InternalError, NotFound
from sagong.api.log_options import is_true, log_options
from sagong.core.clock import Clock
from sagong.core.tasks import task_group
from sagong.server.handlers import Storage
from sagong.server.http import query as queries
from sagong.server.http.exchange import Exchange
from sagong.server.streams.backend import Backend, blocks_of
from sagong.server.streams.kubelets import Kubelets
from sagong.server.streams.pods import container_of, pod_of

REFUSAL_BYTES_MAX = 50 * 1024  # of an agent's refusal
_NUMBERS = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes")
_FLAGS = ("follow", "previous", "timestamps")
# Upstream's NewDefaultReaderProtocols: text as it is, bytes, or text in base64.
BINARY_PROTOCOL, BASE64_PROTOCOL = "binary.k8s.io", "base64.binary.k8s.io"


@dataclass(frozen=True, slots=True)
class Logs:
    """The connection."""

    storage: Storage
    kubelets: Kubelets
    backend: Backend
    clock: Clock

    async def connect(self, exchange: Exchange, call: Call, rest: str) -> web.StreamResponse:
        """The log as plain text. Raises ``api.errors``."""
        query = queries.parse(exchange.query)
        log_options(query, pod=call.name, now=self.clock.now())
        pod = await pod_of(self.storage, call, exchange.user)
        container = container_of(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return web.Response(status=204)
        passed_on = [(name, "true") for name in _FLAGS if is_true(query, name)]
        passed_on += [(name, query[name]) for name in _NUMBERS if query.get(name)]
        passed_on.append(("stream", query.get("stream") or "All"))
        endpoint = self.kubelets.of(pod["spec"]["nodeName"])
        path = f"/containerLogs/{call.namespace}/{call.name}/{container}?{urlencode(passed_on)}"
        async with self.backend.get(endpoint, path) as answer:
            if answer.status != 200:
                raise await _refusal(answer, call.name)
            if exchange.request.headers.get("Upgrade", "").lower() == "websocket":
                return await _over_websocket(exchange, answer)
            return await _pass_on(exchange, answer)


async def _refusal(answer: aiohttp.ClientResponse, pod: str) -> ApiError:
    """Upstream's ``GenericHttpResponseChecker``."""
    body = await answer.content.read(REFUSAL_BYTES_MAX)
    text = body.decode(errors="replace")
    if answer.status == 400:
        return BadRequest(text)
    if answer.status == 500:
        return InternalError(f"Internal error occurred: {text}")
    details = {"name": pod, "kind": "pods/log"}
    if answer.status == 404:
        message = f"the server could not find the requested resource ( pods/log {pod})"
        return NotFound(message, details=details)
    return ApiError(f"the node answered {answer.status}: {text}", code=answer.status)


async def _over_websocket(exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """One message a block, after an empty one that says that the stream has begun."""
    socket = web.WebSocketResponse(protocols=(BINARY_PROTOCOL, BASE64_PROTOCOL), compress=False)
    await socket.prepare(exchange.request)
    async with task_group() as tasks:
        copying = tasks.start(_copy(answer, socket), name="log over websocket")
        listening = tasks.start(_until_closed(socket), name="client of a log")
        await asyncio.wait((copying, listening), return_when=asyncio.FIRST_COMPLETED)
    await socket.close()
    return socket


async def _copy(answer: aiohttp.ClientResponse, socket: web.WebSocketResponse) -> None:
    try:
        await _send(socket, b"")
        async for block in answer.content.iter_any():
            await _send(socket, block)
    except (aiohttp.ClientError, asyncio.IncompleteReadError, ConnectionError):
        return  # the node or the client has gone; the end of the stream says so


async def _send(socket: web.WebSocketResponse, block: bytes) -> None:
    if socket.ws_protocol == BINARY_PROTOCOL:
        await socket.send_bytes(block)
    elif socket.ws_protocol == BASE64_PROTOCOL:
        await socket.send_str(base64.b64encode(block).decode())
    else:
        await socket.send_str(block.decode(errors="replace"))


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        continue


async def _pass_on(exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.headers["Audit-Id"] = exchange.audit_id
    response.headers["Cache-Control"] = "no-cache, private"
    response.enable_chunked_encoding()
    await response.prepare(exchange.request)
    try:
        async for block in blocks_of(answer, exchange.request):
            await response.write(block)
    except (aiohttp.ClientError, asyncio.IncompleteReadError):
        # The node went away: the client sees its stream cut, not ended.
        if exchange.request.transport is not None:
            exchange.request.transport.abort()
        return response
    except ConnectionError:
        return response  # the client has gone
    await response.write_eof()
    return response
