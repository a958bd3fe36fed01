"""One connection of the listener: plain requests are answered here, the rest is handed on.

A synchronous protocol on the transport's callbacks: requests are answered one after the other, in
order, each at once if nothing has to be waited for. A connection whose request is not of the plain
form (``messages.py``), or is to be taken over, goes to aiohttp's protocol with everything that has
been read of it, and stays there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, cast

from sagong.core.invariant import invariant
from sagong.core.tasks import Tasks
from sagong.server.http.exchange import Exchange
from sagong.server.http.headers import BODILESS, Heads
from sagong.server.http.messages import (
    Answered,
    Headers,
    Request,
    Response,
    StreamOwner,
    lacks_host,
    parse_fields,
    parse_line,
)

HEAD_BYTES_MAX = 64 * 1024  # past it aiohttp refuses
# Bodies up to this are read before anybody is asked; larger ones only once they are allowed.
BODY_BYTES_MAX = 256 * 1024
# Of requests sent ahead while one is under way; past it reading pauses.
AHEAD_BYTES_MAX = 64 * 1024
# Answers are written in pieces, so that one large list does not hold up the others.
PIECE_BYTES = 256 * 1024
# Blocks of fields, and request lines, that are remembered. Past it all are forgotten, blocks but by
# their connections.
BLOCKS_MAX = 1024
# Read at once at most: what a large body is read in.
READ_BYTES = 256 * 1024
_END = b"\r\n\r\n"
_NO_HOST_TEXT = b"400 Bad Request: missing required Host header"
_NO_HOST = (
    b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%b"
    % (_NO_HOST_TEXT, _NO_HOST_TEXT)
)


class Manner(Enum):
    """How a request is to be answered."""

    TASK = "in a task of its own"
    AT_ONCE = "as far as possible where it is read"  # what only reads memory
    TAKEN = "by whoever takes over its connection"


class Answerer(Protocol):
    """What a connection needs of its server."""

    def exchange(self, request: Request, method: str, target: str) -> Exchange: ...

    async def answer(self, exchange: Exchange) -> Answered: ...

    def manner(self, method: str, target: str) -> Manner: ...

    def hand_on(self, transport: asyncio.Transport, data: bytes) -> None:
        """Let aiohttp go on with a connection of which ``data`` has been read."""
        ...


@dataclass(slots=True)
class Shared:
    """What all connections of a listener have in common."""

    answerer: Answerer
    heads: Heads
    tasks: Tasks
    monotonic: Callable[[], float]
    open: set["Connection"] = field(default_factory=set)
    # Fields as clients have sent them, with what they mean: a thousand watches send the same ones.
    fields: dict[bytes, tuple[bytes, Headers]] = field(default_factory=dict)
    lines: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    read_buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)))

    def fields_of(self, block: bytes) -> tuple[bytes, Headers] | None:
        """The block and its fields, the same objects each time; None if it is not of plain form."""
        known = self.fields.get(block)
        if known is None:
            headers = parse_fields(block)
            if headers is None:
                return None
            if len(self.fields) >= BLOCKS_MAX:
                self.fields.clear()
            known = self.fields[block] = (block, headers)
        return known

    def line_of(self, data: bytes) -> tuple[str, str] | None:
        """Method and target of a request line; None if it is not of plain form."""
        known = self.lines.get(data)
        if known is None:
            known = parse_line(data)
            if known is not None:
                if len(self.lines) >= BLOCKS_MAX:
                    self.lines.clear()
                self.lines[data] = known
        return known


class Connection(asyncio.BufferedProtocol):
    """See the module's docstring.

    Bytes are read into one buffer that all connections share: a transport asks for it, fills it
    and says so in one step. Without it the TLS layer makes an object of its largest size for every
    read, for which the kernel maps memory and takes it back.
    """

    __slots__ = (
        "_block", "_buffer", "_certificate", "_closing", "_drained", "_handling", "_headers",
        "_owner", "_paused", "_peer", "_reading", "_shared", "_stepping", "_transport", "since",
    )  # fmt: skip

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._handling = False
        self._stepping = False
        self._closing = False
        self._reading = True
        self._paused = False  # the client is behind with reading
        self._drained: asyncio.Future[None] | None = None
        self._owner: StreamOwner | None = None
        self._certificate = b""
        self._peer = ""
        # The fields of the last request: clients send the same ones again and again.
        self._block = b""
        self._headers = Headers(())
        self.since = shared.monotonic()  # when the last byte came or the last answer went

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have all methods of asyncio's, but not its class.
        self._transport = cast(asyncio.Transport, transport)
        self._shared.open.add(self)
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = tls.getpeercert(binary_form=True) or b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._shared.open.discard(self)
        self._paused = False
        self._wake()
        if self._owner is not None:
            self._owner.on_gone()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._shared.read_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self.since = self._shared.monotonic()
        self._buffer = self._buffer + data if self._buffer else data
        self._advance()

    def eof_received(self) -> bool:
        return False  # a client that is done sending does not wait for more: close

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()
        if self._owner is not None:
            self._owner.on_writable()

    # Called by the server

    @property
    def is_busy(self) -> bool:
        return self._handling

    def close(self) -> None:
        """Close when the request under way is answered."""
        self._closing = True
        if not self._handling and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # The requests

    def _advance(self) -> None:
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._buffer and not self._handling and not self._closing:
                if not self._begin():
                    break
        finally:
            self._stepping = False
        ahead = self._handling and len(self._buffer) > AHEAD_BYTES_MAX
        if ahead and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _begin(self) -> bool:
        """Begin with the next request; False if it is not whole yet, or has been handed on."""
        data = self._buffer
        end = data.find(_END)
        if end < 0:
            if len(data) > HEAD_BYTES_MAX:
                self._hand_on()
            return False
        line_end = data.find(b"\r\n")
        line = self._shared.line_of(data[:line_end])
        block = data[line_end + 2 : end + 2]
        headers = self._fields(block)
        if line is not None and headers is None and lacks_host(block):
            self._refuse()
            return False
        if line is None or headers is None or headers.content_length > BODY_BYTES_MAX:
            self._hand_on()
            return False
        start = end + len(_END)
        whole = start + headers.content_length
        if len(data) < whole:
            return False
        manner = self._shared.answerer.manner(*line)
        if manner is Manner.TAKEN:
            self._hand_on()
            return False
        body = data[start:whole]
        self._buffer = data[whole:]
        request = Request(
            headers, body, certificate=self._certificate, peer=self._peer, stream=self
        )
        self._handling = True
        exchange = self._shared.answerer.exchange(request, *line)
        tasks = self._shared.tasks
        run = tasks.start_now if manner is Manner.AT_ONCE else tasks.start
        run(self._answer(exchange), name="request")
        return True

    def _fields(self, block: bytes) -> Headers | None:
        if block and block == self._block:
            return self._headers
        known = self._shared.fields_of(block)
        if known is None:
            return None
        self._block, self._headers = known
        return self._headers

    def _refuse(self) -> None:
        """HTTP/1.1 wants a Host; answered as Go's net/http does, and closed."""
        self._buffer, self._closing = b"", True
        if self._transport is not None:
            self._transport.write(_NO_HOST)
            self._transport.close()

    def _hand_on(self) -> None:
        transport, self._transport = self._transport, None
        data, self._buffer = self._buffer, b""
        self._shared.open.discard(self)
        if transport is not None:
            self._shared.answerer.hand_on(transport, data)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            response = await self._shared.answerer.answer(exchange)
            invariant(isinstance(response, Response), "not for a plain connection")
            assert isinstance(response, Response)
            if not response.sent:
                await self._send(exchange, response)
        except ConnectionError:
            self.abort()  # the client has gone: nothing is left to tell it
        finally:
            self._handling = False
            self._owner = None
            self.since = self._shared.monotonic()
        if self._closing and self._transport is not None:
            self._transport.close()
        if not self._reading and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()
        if self._buffer:
            self._advance()

    async def _send(self, exchange: Exchange, response: Response) -> None:
        transport = self._transport
        if transport is None:
            return
        head = self._shared.heads.of(exchange, response.status, response.headers)
        if response.status in BODILESS:
            transport.write(head + b"\r\n")
            return
        parts = response.parts
        size = len(parts[0]) if len(parts) == 1 else sum(map(len, parts))
        head = b"%bContent-Length: %d\r\n\r\n" % (head, size)
        if exchange.method == "HEAD":
            transport.write(head)
        elif size <= PIECE_BYTES:
            transport.write(b"".join((head, *parts)))
        else:
            await self._send_pieces((head, *parts))

    async def _send_pieces(self, parts: tuple[bytes, ...]) -> None:
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(view), PIECE_BYTES):
                if self._transport is None or self._transport.is_closing():
                    raise ConnectionResetError
                self._transport.write(view[start : start + PIECE_BYTES])
                if self._paused:
                    await self.drain()
                elif len(view) > PIECE_BYTES:
                    await asyncio.sleep(0)

    def _wake(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # Stream

    def start(self, exchange: Exchange, headers: dict[str, str]) -> None:
        if self._transport is None:
            raise ConnectionResetError
        head = self._shared.heads.of(exchange, 200, headers)
        self._transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        if exchange.on_start is not None:
            exchange.on_start(200)

    def write(self, data: bytes) -> bool:
        if self._transport is None:
            return False
        self._transport.write(data)
        return not self._paused

    async def drain(self) -> None:
        if self._paused:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        if self._transport is None:
            raise ConnectionResetError

    def listen(self, reader: StreamOwner | None) -> None:
        self._owner = reader
