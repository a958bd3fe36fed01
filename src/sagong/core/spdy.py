"""SPDY/3.1 framing as a synchronous state machine: bytes in, events out, and bytes to send.

The protocol of ``kubectl exec`` and ``port-forward`` (SPDY Protocol Draft 3.1). Flow control is
left to the connection below, as in Kubernetes' own implementation: WINDOW_UPDATE frames are read
and ignored, none is sent, and data is sent whatever the window. Pings are answered at once.

Data is handed out as it comes, never collected to whole frames, so a frame's length costs nothing.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

VERSION = 3
CONTROL_BYTES_MAX = 64 * 1024  # of one control frame; past it the peer is in error
HEADERS_BYTES_MAX = 256 * 1024  # of one decompressed header block
DATA_FRAME_BYTES = 32 * 1024  # what is sent in one frame, so that streams take turns

_NAMES = (
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset",
    "accept-encoding", "accept-language", "accept-ranges", "age", "allow", "authorization",
    "cache-control", "connection", "content-base", "content-encoding", "content-language",
    "content-length", "content-location", "content-md5", "content-range", "content-type", "date",
    "etag", "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match",
    "if-range", "if-unmodified-since", "last-modified", "location", "max-forwards", "pragma",
    "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after", "server", "te",
    "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
    "www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public",
    "set-cookie", "keep-alive", "origin",
)  # fmt: skip
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
    "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
# The dictionary that both sides' compressors begin with (draft 3.1, 2.6.10.1).
DICTIONARY = (
    b"".join(struct.pack(">I", len(name)) + name.encode() for name in _NAMES) + _TAIL.encode()
)


class FrameType(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ResetStatus(IntEnum):
    """Why a stream was reset (draft 3.1, 2.6.3)."""

    PROTOCOL_ERROR = 1
    INVALID_STREAM = 2
    REFUSED_STREAM = 3
    UNSUPPORTED_VERSION = 4
    CANCEL = 5
    INTERNAL_ERROR = 6
    FLOW_CONTROL_ERROR = 7
    STREAM_IN_USE = 8
    STREAM_ALREADY_CLOSED = 9
    FRAME_TOO_LARGE = 11


class SpdyError(Exception):
    """The peer broke the protocol: nothing more can be read from the connection."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream."""

    stream_id: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class StreamReplied:
    """The peer accepted a stream of ours."""

    stream_id: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class HeadersReceived:
    stream_id: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Data of a stream; with ``fin`` the peer sends no more on it."""

    stream_id: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class StreamReset:
    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Ponged:
    """The answer to a ping of ours."""

    ping_id: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer takes no more streams."""

    last_stream_id: int
    status: int


Event = (
    StreamOpened | StreamReplied | HeadersReceived | DataReceived | StreamReset | Ponged | GoneAway
)


@dataclass(slots=True)
class _Half:
    """Which directions of a stream are still open."""

    can_send: bool = True
    can_receive: bool = True


@dataclass(slots=True)
class _DataFrame:
    """A data frame of which only a part has come."""

    stream_id: int
    left: int
    fin: bool


class SpdyConnection:
    """One side of a SPDY connection."""

    def __init__(self, *, is_client: bool) -> None:
        self._next_id = 1 if is_client else 2
        self._next_ping = self._next_id
        self._streams: dict[int, _Half] = {}
        self._inbound = bytearray()
        self._outbound: list[bytes] = []
        self._data: _DataFrame | None = None
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    # Sending

    def open_stream(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        """Open a stream; its id."""
        stream_id = self._next_id
        self._next_id += 2
        self._streams[stream_id] = _Half(can_send=not fin)
        body = struct.pack(">IIBB", stream_id, 0, 0, 0) + self._packed(headers)
        self._control(FrameType.SYN_STREAM, body, fin=fin)
        return stream_id

    def reply(self, stream_id: int, headers: Mapping[str, str], *, fin: bool = False) -> None:
        """Accept a stream of the peer's."""
        body = struct.pack(">I", stream_id) + self._packed(headers)
        self._control(FrameType.SYN_REPLY, body, fin=fin)
        if fin:
            self._sent_fin(stream_id)

    def send(self, stream_id: int, data: bytes, *, fin: bool = False) -> None:
        """Send data, in several frames if need be; dropped if the stream is closed for sending."""
        half = self._streams.get(stream_id)
        if half is None or not half.can_send:
            return
        starts = range(0, len(data), DATA_FRAME_BYTES) if data else (range(1) if fin else ())
        for start in starts:
            part = data[start : start + DATA_FRAME_BYTES]
            last = fin and start + DATA_FRAME_BYTES >= len(data)
            self._outbound.append(struct.pack(">II", stream_id, (last << 24) | len(part)))
            self._outbound.append(part)
        if fin:
            self._sent_fin(stream_id)

    def reset(self, stream_id: int, status: ResetStatus = ResetStatus.CANCEL) -> None:
        """Close a stream at once, both ways."""
        if self._streams.pop(stream_id, None) is not None:
            self._control(FrameType.RST_STREAM, struct.pack(">II", stream_id, status))

    def ping(self) -> int:
        """Ask for a sign of life; the id that the answer will carry."""
        ping_id, self._next_ping = self._next_ping, self._next_ping + 2
        self._control(FrameType.PING, struct.pack(">I", ping_id))
        return ping_id

    def go_away(self, last_stream_id: int = 0) -> None:
        self._control(FrameType.GOAWAY, struct.pack(">II", last_stream_id, 0))

    def take_outbound(self) -> bytes:
        """What is to be sent; afterwards it is ours no more."""
        data = b"".join(self._outbound)
        self._outbound.clear()
        return data

    @property
    def open_streams(self) -> Sequence[int]:
        return list(self._streams)

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes of the peer. Raises SpdyError."""
        self._inbound += data
        events: list[Event] = []
        while self._step(events):
            pass
        return events

    def _step(self, events: list[Event]) -> bool:
        """Read one frame, or a part of a data frame; whether there was one."""
        if self._data is not None:
            return self._data_part(self._data, events)
        if len(self._inbound) < 8:
            return False
        first, second = struct.unpack_from(">II", self._inbound)
        flags, length = second >> 24, second & 0xFFFFFF
        if not first >> 31:
            del self._inbound[:8]
            self._data = _DataFrame(first, length, bool(flags & 1))
            return self._data_part(self._data, events)
        if length > CONTROL_BYTES_MAX:
            raise SpdyError(f"a control frame of {length} bytes")
        if (first >> 16) & 0x7FFF != VERSION:
            raise SpdyError(f"SPDY version {(first >> 16) & 0x7FFF}")
        if len(self._inbound) < 8 + length:
            return False
        body = bytes(self._inbound[8 : 8 + length])
        del self._inbound[: 8 + length]
        try:
            self._control_frame(first & 0xFFFF, flags, body, events)
        except struct.error as error:
            raise SpdyError(f"a control frame of type {first & 0xFFFF} is too short") from error
        return True

    def _data_part(self, frame: _DataFrame, events: list[Event]) -> bool:
        part = bytes(self._inbound[: frame.left])
        if not part and frame.left:
            return False
        del self._inbound[: len(part)]
        frame.left -= len(part)
        fin = frame.fin and not frame.left
        if not frame.left:
            self._data = None
        half = self._streams.get(frame.stream_id)
        # Data of a stream that is closed may have been on its way: it is dropped.
        if half is not None and half.can_receive and (part or fin):
            events.append(DataReceived(frame.stream_id, part, fin))
            if fin:
                self._got_fin(frame.stream_id)
        return True

    def _control_frame(self, type_: int, flags: int, body: bytes, events: list[Event]) -> None:
        fin = bool(flags & 1)
        if type_ == FrameType.SYN_STREAM:
            stream_id = struct.unpack_from(">IIBB", body)[0] & 0x7FFFFFFF
            headers = self._unpacked(body[10:])
            if stream_id % 2 == self._next_id % 2 or stream_id in self._streams:
                raise SpdyError(f"stream {stream_id} cannot be opened")
            self._streams[stream_id] = _Half(can_receive=not fin)
            events.append(StreamOpened(stream_id, headers, fin))
        elif type_ in (FrameType.SYN_REPLY, FrameType.HEADERS):
            stream_id = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
            headers = self._unpacked(body[4:])
            if stream_id in self._streams:
                made = StreamReplied if type_ == FrameType.SYN_REPLY else HeadersReceived
                events.append(made(stream_id, headers, fin))
                if fin:
                    self._got_fin(stream_id)
        elif type_ == FrameType.RST_STREAM:
            stream_id, status = struct.unpack_from(">II", body)
            if self._streams.pop(stream_id & 0x7FFFFFFF, None) is not None:
                events.append(StreamReset(stream_id & 0x7FFFFFFF, status))
        elif type_ == FrameType.PING:
            (ping_id,) = struct.unpack_from(">I", body)
            if ping_id % 2 == self._next_id % 2:
                events.append(Ponged(ping_id))
            else:
                self._control(FrameType.PING, body[:4])
        elif type_ == FrameType.GOAWAY:
            last, status = struct.unpack_from(">II", body)
            events.append(GoneAway(last & 0x7FFFFFFF, status))
        # SETTINGS and WINDOW_UPDATE say nothing that we act on; unknown types are to be ignored.

    # Streams

    def _sent_fin(self, stream_id: int) -> None:
        half = self._streams.get(stream_id)
        if half is not None:
            half.can_send = False
            self._forget_closed(stream_id, half)

    def _got_fin(self, stream_id: int) -> None:
        half = self._streams.get(stream_id)
        if half is not None:
            half.can_receive = False
            self._forget_closed(stream_id, half)

    def _forget_closed(self, stream_id: int, half: _Half) -> None:
        if not half.can_send and not half.can_receive:
            del self._streams[stream_id]

    # Frames

    def _control(self, type_: FrameType, body: bytes, *, fin: bool = False) -> None:
        head = struct.pack(">II", 0x80000000 | VERSION << 16 | type_, (fin << 24) | len(body))
        self._outbound.append(head + body)

    def _packed(self, headers: Mapping[str, str]) -> bytes:
        pairs = _blocks(text for pair in headers.items() for text in (pair[0].lower(), pair[1]))
        block = struct.pack(">I", len(headers)) + pairs
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _unpacked(self, data: bytes) -> Mapping[str, str]:
        try:
            block = self._inflate.decompress(data, HEADERS_BYTES_MAX)
        except zlib.error as error:
            raise SpdyError(f"headers cannot be decompressed: {error}") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError("headers are too long")
        return _Reader(block).headers()


def _blocks(texts: Iterable[str]) -> bytes:
    """Texts, each with its length before it."""
    encoded = (text.encode() for text in texts)
    return b"".join(struct.pack(">I", len(data)) + data for data in encoded)


@dataclass(slots=True)
class _Reader:
    """Reads a decompressed header block."""

    block: bytes
    at: int = field(default=0)

    def headers(self) -> Mapping[str, str]:
        count = self._number()
        return {self._text(): self._text() for _ in range(count)}

    def _number(self) -> int:
        if self.at + 4 > len(self.block):
            raise SpdyError("a header block is too short")
        self.at += 4
        return int.from_bytes(self.block[self.at - 4 : self.at], "big")

    def _text(self) -> str:
        length = self._number()
        if self.at + length > len(self.block):
            raise SpdyError("a header block is too short")
        self.at += length
        return self.block[self.at - length : self.at].decode(errors="replace")
