"""Port-forward over a WebSocket that carries SPDY: its messages' bytes are the SPDY connection.

Upstream's ``PortForwardWebsockets``: the subprotocol is ``SPDY/3.1+portforward.k8s.io``; towards
the agent it is an ordinary SPDY upgrade.
"""

import asyncio

from aiohttp import WSMsgType, web

from sagong.core.tasks import task_group
from sagong.core.tunnel import COPY_BYTES, Connection, read_refusal
from sagong.server.streams.joining import dial, upgraded
from sagong.server.streams.kubelets import Endpoint

PORT_FORWARD = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{PORT_FORWARD}"
MESSAGE_BYTES_MAX = 4 * 1024 * 1024  # of one message of the client


async def unwrap(request: web.BaseRequest, endpoint: Endpoint, path: str) -> web.StreamResponse:
    """Tunnel a client's SPDY to the endpoint. Raises Unreachable."""
    backend = await dial(endpoint)
    try:
        headers = [
            ("Host", endpoint.authority),
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            ("X-Stream-Protocol-Version", PORT_FORWARD),
            ("Content-Length", "0"),
        ]
        head = await upgraded(backend, "POST", path, headers)
        if head.status != 101:
            return await read_refusal(backend, head)
        socket = web.WebSocketResponse(
            protocols=(TUNNEL_PROTOCOL,), max_msg_size=MESSAGE_BYTES_MAX, compress=False
        )
        await socket.prepare(request)
        async with task_group() as tasks:
            both = [
                tasks.start(_to_backend(socket, backend), name="tunnel out"),
                tasks.start(_to_client(backend, socket), name="tunnel back"),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        await socket.close()
        return socket
    finally:
        await backend.close()


async def _to_backend(socket: web.WebSocketResponse, backend: Connection) -> None:
    try:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                backend.writer.write(message.data)
                await backend.writer.drain()
    except OSError:
        return  # the node has gone; the client is told by the close


async def _to_client(backend: Connection, socket: web.WebSocketResponse) -> None:
    try:
        while data := await backend.reader.read(COPY_BYTES):
            await socket.send_bytes(data)
    except OSError:
        return  # either has gone
