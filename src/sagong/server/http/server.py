"""The HTTPS listener: TLS, connections, the chain of middlewares, an orderly stop."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.tasks import Tasks, task_group
from sagong.server.http.connection import Connection, Manner, Shared
from sagong.server.http.exchange import Exchange, Middleware, Next, chain
from sagong.server.http.headers import Heads
from sagong.server.http.messages import Answered, Request

if TYPE_CHECKING:
    from sagong.server.http.taking_over import Taken

KEEPALIVE_SECONDS = 90.0  # an idle connection, or one whose request does not come, is closed
SWEEP_SECONDS = 15.0  # how often they are looked for
# What a stop waits for requests under way; watches have been ended before.
STOP_SECONDS = 5.0
STOP_LOOK_SECONDS = 0.02
# How long an idle connection's client may take to say goodbye when the server stops.
GOODBYE_SECONDS = 0.25
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
    # How to answer a method and raw target.
    manner_of: Callable[[str, str], Manner]
    _chain: Next = field(init=False)
    # Audit ids are the server's own id with a count in its last place: unique, and cheap to make.
    _audit_prefix: str = field(init=False)
    _audit_count: int = field(init=False, default=0)
    _taken: "Taken | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._chain = chain(self.middlewares, self.handler)
        self._audit_prefix = self.ids.uid()[:24]

    @contextlib.asynccontextmanager
    async def listen(self, host: str, port: int) -> AsyncIterator[Listening]:
        """Serve while the block runs."""
        loop = asyncio.get_running_loop()
        async with task_group() as tasks:
            shared = self._shared(tasks)
            listener = await loop.create_server(
                lambda: Connection(shared),
                host,
                port,
                ssl=self.tls,
                backlog=BACKLOG,
                reuse_address=True,
            )
            tasks.start(self._sweep(shared), name="idle connections")
            bound = listener.sockets[0].getsockname()
            try:
                yield Listening(bound[0], bound[1])
            finally:
                listener.close()
                self.on_stop()
                await self._stop(shared)
                await listener.wait_closed()

    def _shared(self, tasks: Tasks) -> Shared:
        return Shared(self, Heads(self.clock), tasks, self.clock.monotonic)

    async def _sweep(self, shared: Shared) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            oldest = self.clock.monotonic() - KEEPALIVE_SECONDS
            for connection in tuple(shared.open):
                if not connection.is_busy and connection.since < oldest:
                    connection.close()

    async def _stop(self, shared: Shared) -> None:
        """Close idle connections, let requests end, then cut off what is left."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for connection in tuple(shared.open):
            connection.close()
        if self._taken is not None:
            await self._taken.shutdown(STOP_SECONDS)
        while shared.open and loop.time() < began + STOP_SECONDS:
            await asyncio.sleep(STOP_LOOK_SECONDS)
            if loop.time() > began + GOODBYE_SECONDS:
                for connection in tuple(c for c in shared.open if not c.is_busy):
                    connection.abort()
        for connection in tuple(shared.open):
            connection.abort()

    # Answerer

    def exchange(self, request: Request, method: str, target: str) -> Exchange:
        path, _, query = target.partition("?")
        self._audit_count += 1
        audit_id = request.headers.audit_id
        return Exchange(
            request,
            method,
            path,
            query,
            self.clock.monotonic(),
            audit_id or f"{self._audit_prefix}{self._audit_count:012x}",
        )

    async def answer(self, exchange: Exchange) -> Answered:
        return await self._chain(exchange)

    def manner(self, method: str, target: str) -> Manner:
        return self.manner_of(method, target)

    def hand_on(self, transport: asyncio.Transport, data: bytes) -> None:
        if self._taken is None:
            from sagong.server.http.taking_over import Taken  # slow to import, see there

            self._taken = Taken(self, self.clock)
        self._taken.take(transport, data)
