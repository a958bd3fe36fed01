"""A client's connection joined with that of an agent, pod or service after an upgrade."""

from aiohttp import web

from sagong.core.tunnel import (
    Connection,
    Head,
    Taken,
    TunnelError,
    ask_upgrade,
    read_refusal,
    splice,
    taken_over,
)
from sagong.server.streams.kubelets import Endpoint, Unreachable, dial_text

_PASSED_ON = frozenset(
    ("connection", "upgrade", "x-stream-protocol-version", "sec-websocket-key",
     "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions", "origin",
     "user-agent")
)  # fmt: skip


def offered(request: web.BaseRequest) -> list[str]:
    """The WebSocket subprotocols that a client offers."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return []
    values = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [name.strip() for name in values.split(",") if name.strip()]


def upgrade_headers(request: web.BaseRequest) -> list[tuple[str, str]]:
    """Those headers of an upgrade request that its backend is to see."""
    return [(name, v) for name, v in request.headers.items() if name.lower() in _PASSED_ON]


async def dial(endpoint: Endpoint) -> Connection:
    """Raises Unreachable."""
    try:
        return await endpoint.open()
    except OSError as error:
        raise Unreachable(f"error dialing backend: {dial_text(endpoint, error)}") from error


async def pass_through(
    request: web.BaseRequest, endpoint: Endpoint, path: str, headers: list[tuple[str, str]]
) -> web.StreamResponse:
    """The client's connection joined with the endpoint's. Raises Unreachable."""
    backend = await dial(endpoint)
    try:
        sent = [("Host", endpoint.authority), *headers, ("Content-Length", "0")]
        head = await upgraded(backend, request.method, path, sent)
        if head.status != 101:
            return await read_refusal(backend, head)
        async with taken_over(request, head) as client:
            await splice(client, backend)
        return Taken()
    finally:
        await backend.close()


async def upgraded(
    backend: Connection, method: str, path: str, headers: list[tuple[str, str]]
) -> Head:
    """The answer to an upgrade request. Raises Unreachable."""
    try:
        return await ask_upgrade(backend, method, path, headers)
    except (OSError, TunnelError) as error:
        raise Unreachable(f"error dialing backend: {error}") from error
