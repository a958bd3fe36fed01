"""Requests and responses as the middlewares see them, and the parsing of request heads.

A head is parsed here only if it is of the plain form that API clients send; the grammar below is
deliberately narrower than RFC 9112's. Everything else (upgrades, chunked bodies, expectations,
HTTP/1.0, folded or repeated framing fields, what is malformed) is left to a complete parser, see
``connection.py``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from aiohttp import web

    from sagong.server.http.exchange import Exchange

_REQUEST_LINE = re.compile(rb"([A-Z]{3,16}) (/[\x21-\x7e]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n")
_FIELDS = re.compile(rb"(?:%b)+" % _FIELD.pattern.replace(b"(", b"(?:"))
# Fields that change how a message is framed or carried: not for the plain path.
_ODD = frozenset(("transfer-encoding", "expect", "upgrade", "te", "trailer"))
_SINGLE = frozenset(("content-length", "host", "authorization", "content-type"))
_LENGTH_DIGITS_MAX = 12
_PREFIX = "impersonate-"


class Headers:
    """The fields of a request, by name regardless of case; repeated ones in order."""

    __slots__ = (
        "_first", "_pairs", "accept", "audit_id", "bearer_token", "content_length", "impersonates",
        "user_agent",
    )  # fmt: skip

    def __init__(self, pairs: tuple[tuple[str, str], ...]) -> None:
        self._pairs = pairs
        first: dict[str, str] = {}
        for name, value in pairs:
            first.setdefault(name.lower(), value)
        self._first: Mapping[str, str] = first
        length = first.get("content-length", "")
        self.content_length = int(length) if length.isascii() and length.isdigit() else 0
        # What every request is asked for.
        self.accept = first.get("accept", "")
        self.audit_id = first.get("audit-id", "")
        self.user_agent = first.get("user-agent", "")
        self.impersonates = any(name.startswith(_PREFIX) for name in first)
        scheme, _, token = first.get("authorization", "").partition(" ")
        self.bearer_token = token.strip() if scheme.lower() == "bearer" else ""

    def get(self, name: str, default: str = "") -> str:
        """The first value of a field."""
        return self._first.get(name.lower(), default)

    def items(self) -> tuple[tuple[str, str], ...]:
        return self._pairs

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)


class Stream(Protocol):
    """The sending side of a connection whose answer goes on (a watch)."""

    def start(self, exchange: "Exchange", headers: dict[str, str]) -> None:
        """Send the head of an answer in chunks. Raises ConnectionError if the client has gone."""
        ...

    def write(self, data: bytes) -> bool:
        """Send; False if the client is behind, and no more should be written for now."""
        ...

    async def drain(self) -> None:
        """Until more may be written. Raises ConnectionError if the client has gone."""
        ...

    def listen(self, reader: "StreamOwner | None") -> None:
        """Whom to tell of the connection's state while the answer goes on."""
        ...


class StreamOwner(Protocol):
    """Told what becomes of a connection that it writes to."""

    def on_writable(self) -> None: ...

    def on_gone(self) -> None: ...


class Request:
    """One request. ``body`` is None where it has to be read from ``taken``, aiohttp's request."""

    __slots__ = ("body", "certificate", "headers", "peer", "stream", "taken")

    def __init__(
        self,
        headers: Headers,
        body: bytes | None = b"",
        *,
        certificate: bytes = b"",  # DER, of the client; its chain has been verified
        peer: str = "",  # the address of the client
        stream: Stream | None = None,
        taken: "web.BaseRequest | None" = None,
    ) -> None:
        self.headers = headers
        self.body = body
        self.certificate = certificate
        self.peer = peer
        self.stream = stream
        self.taken = taken


class Response:
    """A whole answer; ``sent`` if its handler has written it already.

    A large body may be given as parts, which are sent as they are.
    """

    __slots__ = ("_parts", "headers", "sent", "status")

    def __init__(
        self,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        parts: tuple[bytes, ...] | None = None,
        text: str | None = None,
        sent: bool = False,
    ) -> None:
        self.status = status
        self.headers: dict[str, str] = dict(headers) if headers else {}
        self._parts = (body,) if parts is None else parts
        self.sent = sent
        if text is not None:
            self._parts = (text.encode(),)
            self.headers.setdefault("Content-Type", "text/plain; charset=utf-8")

    @property
    def parts(self) -> tuple[bytes, ...]:
        return self._parts

    @property
    def body(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


# What a handler gives back: ours, or aiohttp's from those who took over the connection.
Answered: TypeAlias = "Response | web.StreamResponse"


def parse_line(line: bytes) -> tuple[str, str] | None:
    """Method and target of a request line; None if it is not of the plain form."""
    match = _REQUEST_LINE.fullmatch(line)
    return None if match is None else (match[1].decode(), match[2].decode())


def parse_fields(block: bytes) -> Headers | None:
    """The fields of a head, each line with its CR LF; None if they are not of the plain form."""
    if _FIELDS.fullmatch(block) is None:
        return None
    pairs, seen = [], set()
    for raw_name, raw_value in _FIELD.findall(block):
        name = raw_name.decode()
        lower = name.lower()
        value = raw_value.strip(b" \t").decode("utf-8", "surrogateescape")
        if lower in _ODD or (lower in _SINGLE and lower in seen):
            return None
        if lower == "connection" and value.lower() != "keep-alive":
            return None
        if lower == "content-length" and not _is_length(value):
            return None
        seen.add(lower)
        pairs.append((name, value))
    return Headers(tuple(pairs)) if "host" in seen else None


def lacks_host(block: bytes) -> bool:
    """Whether fields are well formed, but for a Host among them."""
    names = {name.lower() for name, _ in _FIELD.findall(block)}
    return (not block or _FIELDS.fullmatch(block) is not None) and b"host" not in names


def _is_length(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS_MAX
