"""The HTTPS listener: TLS, connections, the chain of middlewares, an orderly stop."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from aiohttp import web

from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.http.exchange import Exchange, Middleware, Next, chain

KEEPALIVE_SECONDS = 90.0  # an idle connection is closed after this
# What a stop waits for requests under way; watches have been ended before.
STOP_SECONDS = 5.0
LINE_BYTES_MAX = 64 * 1024  # of a request line or header; past it 400
BACKLOG = 1024  # connections that wait to be accepted


@dataclass(slots=True)
class Listening:
    """Where a server listens."""

    host: str
    port: int


@dataclass(slots=True)
class HttpServer:
    """Serves a chain of middlewares over HTTPS (or HTTP without a TLS context)."""

    handler: Next
    middlewares: list[Middleware]
    clock: Clock
    ids: Ids
    tls: ssl.SSLContext | None
    # Called when the listener stops: ends what would go on for ever (watches).
    on_stop: Callable[[], None]
    _chain: Next = field(init=False)
    # Audit ids are the server's own id with a count in its last place: unique, and cheap to make.
    _audit_prefix: str = field(init=False)
    _audit_count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._chain = chain(self.middlewares, self.handler)
        self._audit_prefix = self.ids.uid()[:24]

    @contextlib.asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[Listening]:
        """Serve while the block runs."""
        server = web.Server(
            self._handle,
            keepalive_timeout=KEEPALIVE_SECONDS,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            access_log=None,
            # Reading stops above this much unread body, so a client cannot fill memory.
            read_bufsize=2**18,
        )
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            server, host, port, ssl=self.tls, backlog=BACKLOG, reuse_address=True
        )
        bound = listener.sockets[0].getsockname()
        try:
            yield Listening(bound[0], bound[1])
        finally:
            listener.close()
            self.on_stop()
            await server.shutdown(STOP_SECONDS)
            await listener.wait_closed()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        self._audit_count += 1
        exchange = Exchange(
            request,
            request.method,
            path,
            query,
            self.clock.monotonic(),
            request.headers.get("Audit-Id") or f"{self._audit_prefix}{self._audit_count:012x}",
        )
        return await self._chain(exchange)
