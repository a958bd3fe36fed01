"""The heads of responses: what every one says, made once a second for each sort of answer."""

import re
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

from sagong.core.clock import Clock
from sagong.server.http.exchange import Exchange

_AGENT = "299 - "
# Of all warnings of an answer; past it each is cut, as upstream's truncateAt...Runes.
_CHARACTERS_MAX = 4096
_CHARACTERS_EACH = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Sorts of answers whose head is kept; past it all are made anew.
KEPT_MAX = 256
_REASONS = {status.value: status.phrase for status in HTTPStatus}
NO_CACHE = "no-cache, private"
# Answers that have no body, and so no length.
BODILESS = frozenset((204, 304))


class Heads:
    """Writes heads; the parts that many have in common are kept for as long as the date holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._kept: dict[tuple[int, tuple[tuple[str, str], ...]], bytes] = {}

    def of(self, exchange: Exchange, status: int, headers: dict[str, str]) -> bytes:
        """A head up to and without its framing (Content-Length or Transfer-Encoding)."""
        second = int(self._clock.now())
        if second != self._second or len(self._kept) >= KEPT_MAX:
            self._kept.clear()
            self._second = second
        key = (status, tuple(headers.items()))
        shared = self._kept.get(key)
        if shared is None:
            shared = self._kept[key] = self._shared(status, headers)
        own = f"Audit-Id: {_clean(exchange.audit_id)}\r\n"
        for warning in sendable_warnings(exchange.warnings) if exchange.warnings else ():
            own += f"Warning: {_clean(warning_header(warning))}\r\n"
        return shared + own.encode("utf-8", "surrogateescape")

    def _shared(self, status: int, headers: dict[str, str]) -> bytes:
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
        if "Cache-Control" not in headers:
            lines.append(f"Cache-Control: {NO_CACHE}")
        lines += [f"{name}: {_clean(value)}" for name, value in headers.items()]
        lines.append(f"Date: {formatdate(self._second, usegmt=True)}\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def _clean(value: str) -> str:
    """Without line ends, which would begin another field."""
    return value.replace("\r", " ").replace("\n", " ") if not value.isprintable() else value


def sendable_warnings(warnings: Sequence[str]) -> list[str]:
    """What is sent of warnings: each once, and if they are too long together, shortened.

    As upstream, a warning with control characters in it is not sent at all.
    """
    texts = [text for text in dict.fromkeys(warnings) if text and not _CONTROL.search(text)]
    if sum(map(len, texts)) <= _CHARACTERS_MAX:
        return texts
    sent, written = [], 0
    for text in texts:
        if written >= _CHARACTERS_MAX:
            break
        sent.append(text[:_CHARACTERS_EACH])
        written += len(sent[-1])
    return sent


def warning_header(text: str) -> str:
    """A warning as Go quotes it: backslashes and quotes (RFC 7230 quoted-string)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{_AGENT}"{escaped}"'
