"""Connections taken out of HTTP: upgrades accepted, upgrades asked for, bytes passed on both ways.

An HTTP/1.1 upgrade (RFC 9110, 7.8) ends HTTP on its connection; what follows is a stream of bytes.
Reading stops whenever the other side does not take what was read: nothing is buffered without
bound.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from sagong.core.tasks import task_group

COPY_BYTES = 64 * 1024  # read at once; also what asyncio holds unread before it stops reading
HEAD_BYTES_MAX = 64 * 1024  # of a response's status line and headers
BODY_BYTES_MAX = 1024 * 1024  # of a refusal; the rest is cut off
REFUSAL_SECONDS = 10.0  # within which the body of a refusal must have come
CLOSE_SECONDS = 5.0  # for bytes still on their way when a connection ends

# Headers that concern one hop only (RFC 9110, 7.6.1): those of a refusal that are not passed on.
HOP_HEADERS = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade", "content-length")
)  # fmt: skip


class TunnelError(Exception):
    """The peer did not speak HTTP/1.1 as it must."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Both directions of a byte stream."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def close(self) -> None:
        """Flush and close; cut off if the peer takes nothing more."""
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.writer.wait_closed()
        except (OSError, TimeoutError, ssl.SSLError):
            self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Head:
    """The status line and headers of a response."""

    status: int
    reason: str
    headers: CIMultiDict[str]

    def encode(self) -> bytes:
        """As sent, the empty line included."""
        return encode_head(f"HTTP/1.1 {self.status} {self.reason}", self.headers.items())


class Taken(web.StreamResponse):
    """What a handler returns after it took the connection over: nothing is sent."""

    def __init__(self) -> None:
        super().__init__(status=101)

    @property
    def prepared(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing: the connection no longer belongs to HTTP."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the connection has been closed."""


@contextlib.asynccontextmanager
async def taken_over(request: web.BaseRequest, head: Head) -> AsyncIterator[Connection]:
    """The connection of a request, after ``head`` was sent on it; closed when the block is left.

    The handler must then return ``Taken()``. Raises ConnectionError if the client has gone.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=COPY_BYTES, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    # From here on aiohttp sees nothing of this connection, so it must be told of its end.
    former = request.protocol
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    transport.resume_reading()
    connection = Connection(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
    try:
        connection.writer.write(head.encode())
        yield connection
    finally:
        await connection.close()
        former.force_close()
        former.connection_lost(None)


async def connect(
    host: str, port: int, tls: ssl.SSLContext | None, *, seconds: float, server_name: str = ""
) -> Connection:
    """``server_name``: whom to verify, if not the host. Raises OSError, TimeoutError, SSLError."""
    name = (server_name or host) if tls else None
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls, limit=COPY_BYTES, server_hostname=name
        )
    return Connection(reader, writer)


def encode_head(first_line: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request's or response's head. Header values must hold no line ends."""
    lines = [first_line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


async def ask_upgrade(
    connection: Connection, method: str, target: str, headers: Iterable[tuple[str, str]]
) -> Head:
    """Send an upgrade request; the head of the answer. Raises TunnelError, OSError."""
    connection.writer.write(encode_head(f"{method} {target} HTTP/1.1", headers))
    await connection.writer.drain()
    return await read_head(connection.reader)


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Raises TunnelError if this is no HTTP/1.1 response."""
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise TunnelError("the peer's answer has no end of its headers") from error
    first, *lines = data[:-4].decode("utf-8", "surrogateescape").split("\r\n")
    version, _, rest = first.partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/1.") or not code.isdigit():
        raise TunnelError(f"malformed HTTP response {first[:80]!r}")
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, _, value = line.partition(":")
        headers.add(name.strip(), value.strip())
    return Head(int(code), reason, headers)


async def read_refusal(connection: Connection, head: Head) -> web.Response:
    """The answer that is no upgrade, as a response to pass on."""
    try:
        async with asyncio.timeout(REFUSAL_SECONDS):
            body = await _read_body(connection.reader, head.headers)
    except (TimeoutError, OSError, asyncio.IncompleteReadError, ValueError):
        body = b""
    kept = [(n, v) for n, v in head.headers.items() if n.lower() not in HOP_HEADERS]
    return web.Response(
        status=head.status, reason=head.reason, body=body, headers=CIMultiDict(kept)
    )


async def _read_body(reader: asyncio.StreamReader, headers: CIMultiDict[str]) -> bytes:
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        return await _read_chunks(reader)
    length = headers.get("Content-Length")
    if length is not None:
        return await reader.readexactly(min(int(length), BODY_BYTES_MAX))
    parts: list[bytes] = []
    size = 0
    while size < BODY_BYTES_MAX and (data := await reader.read(COPY_BYTES)):
        parts.append(data)
        size += len(data)
    return b"".join(parts)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    left = BODY_BYTES_MAX
    while left > 0:
        size = int((await reader.readline()).split(b";")[0], 16)
        if size == 0:
            break
        data = await reader.readexactly(min(size, left))
        parts.append(data)
        left -= len(data)
        await reader.readline()
    return b"".join(parts)


async def splice(left: Connection, right: Connection, *, linger_seconds: float = 0.0) -> None:
    """Pass bytes on, both ways, until either side ends. Closes neither.

    When the right side has ended, the left one is given ``linger_seconds`` to close by itself:
    asyncio's TLS drops what a slow reader has not yet taken when its peer closes.
    """
    async with task_group() as tasks:
        out = tasks.start(copy(left.reader, right.writer), name="tunnel out")
        back = tasks.start(copy(right.reader, left.writer), name="tunnel back")
        await asyncio.wait((out, back), return_when=asyncio.FIRST_COMPLETED)
        if back.done() and linger_seconds:
            out.cancel()
            await asyncio.wait((out,))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(linger_seconds):
                    await _discard(left.reader)


async def _discard(reader: asyncio.StreamReader) -> None:
    """Read to the end."""
    with contextlib.suppress(OSError):  # ssl.SSLError is one
        while await reader.read(COPY_BYTES):
            continue


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the reader's end, or until either connection breaks."""
    try:
        while data := await reader.read(COPY_BYTES):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        return  # a broken connection is how many clients leave
