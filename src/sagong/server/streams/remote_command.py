"""exec and attach over WebSocket ``v5.channel.k8s.io``, translated to SPDY towards the agent.

A message's first byte is its channel; v5 adds channel 255, whose one byte names a stream that the
client closes, so that a command sees the end of its input. ``CommandPlan`` decides, without I/O,
what each message and each SPDY event leads to; ``translate`` carries it out.
"""

import asyncio
from dataclasses import dataclass, field

import orjson
from aiohttp import WSMsgType, web

from sagong.api.errors import ApiError, InternalError
from sagong.api.types import Obj
from sagong.core import spdy
from sagong.core.tasks import task_group
from sagong.core.tunnel import COPY_BYTES, Connection, read_refusal
from sagong.server.streams.joining import dial, upgraded
from sagong.server.streams.kubelets import Endpoint

STREAM_CLOSE_PROTOCOL = "v5.channel.k8s.io"
SPDY_PROTOCOL = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_STREAM_TYPES = {
    ERROR: "error", STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr", RESIZE: "resize",
}  # fmt: skip
ERROR_BYTES_MAX = 64 * 1024  # of the status that ends a command
MESSAGE_BYTES_MAX = 4 * 1024 * 1024  # of one message of the client
SUCCESS: Obj = {"metadata": {}, "status": "Success"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The streams that the client asked for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def channels(self) -> list[int]:
        """Those that are opened, in the order in which the protocol opens them."""
        chosen = {
            STDIN: self.stdin,
            STDOUT: self.stdout,
            STDERR: self.stderr and not self.tty,
            RESIZE: self.tty,
        }
        return [ERROR, *(channel for channel, is_wanted in chosen.items() if is_wanted)]


@dataclass(slots=True)
class CommandPlan:
    """The translation of one command: what came from either side becomes what the other gets."""

    wanted: Wanted
    connection: spdy.SpdyConnection = field(
        default_factory=lambda: spdy.SpdyConnection(is_client=True)
    )
    _streams: dict[int, int] = field(default_factory=dict)  # channel -> stream
    _channels: dict[int, int] = field(default_factory=dict)  # stream -> channel
    _waited_for: set[int] = field(default_factory=set)  # channels that must end
    _status: bytearray = field(default_factory=bytearray)

    def open(self) -> None:
        """Open the SPDY streams."""
        for channel in self.wanted.channels():
            stream = self.connection.open_stream({"streamType": _STREAM_TYPES[channel]})
            self._streams[channel], self._channels[stream] = stream, channel
            if channel in (ERROR, STDOUT, STDERR):
                self._waited_for.add(channel)

    def from_client(self, message: bytes) -> None:
        """Take one message. What belongs to no open stream is dropped, as upstream does."""
        if not message:
            return
        channel, data = message[0], message[1:]
        if channel == CLOSE:
            stream = self._streams.get(data[0]) if data else None
            if stream is not None and data[0] == STDIN:
                self.connection.send(stream, b"", fin=True)
            return
        stream = self._streams.get(channel)
        if stream is not None and channel in (STDIN, RESIZE) and data:
            self.connection.send(stream, data)

    def from_agent(self, data: bytes) -> list[bytes]:
        """Take bytes; the messages for the client. Raises SpdyError."""
        messages = []
        for event in self.connection.receive(data):
            if isinstance(event, spdy.DataReceived):
                channel = self._channels.get(event.stream_id)
                if channel == ERROR:
                    self._status += event.data[: ERROR_BYTES_MAX - len(self._status)]
                elif channel is not None and event.data:
                    messages.append(bytes([channel]) + event.data)
            if isinstance(event, spdy.Ponged | spdy.GoneAway):
                continue
            if isinstance(event, spdy.StreamReset) or event.fin:
                self._ended(event.stream_id)
        return messages

    @property
    def is_finished(self) -> bool:
        """All output and the status have come."""
        return not self._waited_for

    def status(self) -> bytes:
        """The ``v1.Status`` that ends the command."""
        return bytes(self._status) or orjson.dumps(SUCCESS)

    def _ended(self, stream: int) -> None:
        self._waited_for.discard(self._channels.get(stream, CLOSE))


async def translate(
    request: web.BaseRequest, endpoint: Endpoint, path: str, wanted: Wanted
) -> web.StreamResponse:
    """Serve a client's WebSocket. Failures behind it go to its error channel."""
    socket = web.WebSocketResponse(
        protocols=(STREAM_CLOSE_PROTOCOL,), max_msg_size=MESSAGE_BYTES_MAX, compress=False
    )
    await socket.prepare(request)
    # The lowest channel with output gets an empty message: the client knows that it is connected.
    channels = [c for c in (STDOUT, STDERR, ERROR) if c in wanted.channels()]
    try:
        await socket.send_bytes(bytes([channels[0]]))
        try:
            status = await _carried(socket, endpoint, path, wanted)
        except ApiError as error:
            status = orjson.dumps(error.status())
        if status is not None:
            await socket.send_bytes(bytes([ERROR]) + status)
    except ConnectionError:
        return socket  # the client has gone
    await socket.close()
    return socket


async def _carried(
    socket: web.WebSocketResponse, endpoint: Endpoint, path: str, wanted: Wanted
) -> bytes | None:
    """The status of the command; None if the client ended it. Raises ``api.errors``."""
    try:
        backend = await dial(endpoint)
    except ApiError as error:
        raise InternalError(f"Internal error occurred: {error.message}") from error
    try:
        headers = [
            ("Host", endpoint.authority),
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            ("X-Stream-Protocol-Version", SPDY_PROTOCOL),
            ("Content-Length", "0"),
        ]
        head = await upgraded(backend, "POST", path, headers)
        if head.status != 101:
            refusal = await read_refusal(backend, head)
            text = bytes(refusal.body or b"").decode(errors="replace")  # type: ignore[arg-type]
            raise InternalError(
                f"Internal error occurred: unable to upgrade connection: {text}".rstrip()
            )
        plan = CommandPlan(wanted)
        plan.open()
        async with task_group() as tasks:
            inward = tasks.start(_to_agent(socket, backend, plan), name="command input")
            outward = tasks.start(_to_client(backend, socket, plan), name="command output")
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
            status: bytes | None = outward.result() if outward.done() else None
            return status
    finally:
        await backend.close()


async def _to_agent(socket: web.WebSocketResponse, backend: Connection, plan: CommandPlan) -> None:
    try:
        await _flush(backend, plan)
        async for message in socket:
            if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
                # Some clients (the official Python one) send text; its bytes count the same.
                data = message.data
                plan.from_client(data.encode() if isinstance(data, str) else data)
                await _flush(backend, plan)
    except OSError:
        # The agent takes no more; what it still says is being read.
        await asyncio.Event().wait()


async def _to_client(
    backend: Connection, socket: web.WebSocketResponse, plan: CommandPlan
) -> bytes | None:
    """The status, once it and all output have come; None if the client has gone."""
    while not plan.is_finished:
        try:
            data = await backend.reader.read(COPY_BYTES)
            messages = plan.from_agent(data)
        except (OSError, spdy.SpdyError) as error:
            raise InternalError(f"Internal error occurred: {error}") from error
        if not data:
            raise InternalError("Internal error occurred: error reading from error stream: EOF")
        try:
            for message in messages:
                await socket.send_bytes(message)
            await _flush(backend, plan)
        except OSError:
            return None
    return plan.status()


async def _flush(backend: Connection, plan: CommandPlan) -> None:
    if data := plan.connection.take_outbound():
        backend.writer.write(data)
    await backend.writer.drain()
