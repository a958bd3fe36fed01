"""Lines of CRI log files, and what of them a reader of ``kubectl logs`` sees. Pure.

A line is ``<RFC 3339 time> <stdout|stderr> <tags> <text>``; the tag ``P`` marks a part of a longer
line, ``F`` its end. Semantics: upstream's ``kuberuntime/logs/logs.go``.
"""

from datetime import UTC, datetime

from sagong.api.log_options import LogOptions
from sagong.core.clock import parse_time


class LineFilter:
    """Turns the lines of a log into what is shown; keeps where in a line and in the limit it is."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit_bytes
        self._at_line_start = True
        self._since = options.since

    @property
    def is_full(self) -> bool:
        """Nothing more will be shown."""
        return self._left is not None and self._left <= 0

    def shown(self, line: bytes) -> bytes:
        """What is shown of a line of the file (given without its line end); may be empty."""
        parts = line.split(b" ", 3)
        if len(parts) < 4:
            return b""
        stamp, stream, tags, text = parts
        if self._options.stream and stream != self._options.stream.encode():
            return b""
        if self._since is not None and _seconds(stamp) < self._since:
            return b""
        if tags.split(b":", 1)[0] != b"P":
            text += b"\n"
        if self._options.timestamps and self._at_line_start:
            text = _padded(stamp) + b" " + text
        self._at_line_start = text.endswith(b"\n") if text else self._at_line_start
        return self._limited(text)

    def _limited(self, text: bytes) -> bytes:
        if self._left is None:
            return text
        text = text[: max(0, self._left)]
        self._left -= len(text)
        return text


def _seconds(stamp: bytes) -> float:
    """Seconds since the epoch; infinity for what is no time, so that it is shown."""
    try:
        return parse_time(_micro(stamp))
    except ValueError:
        return float("inf")


def _micro(stamp: bytes) -> str:
    """The time with six digits at most, as Python reads it."""
    head, point, rest = stamp.decode("ascii", "replace").partition(".")
    if not point:
        return head
    digits = rest.rstrip("Z").split("+")[0].split("-")[0]
    return f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"


def _padded(stamp: bytes) -> bytes:
    """The time in UTC with nine digits (``RFC3339NanoFixed``)."""
    head, _, rest = stamp.partition(b".")
    if rest.endswith(b"Z"):
        return head + b"." + rest[:-1].ljust(9, b"0") + b"Z"
    seconds = _seconds(stamp)
    if seconds == float("inf"):
        return stamp
    digits = rest.split(b"+")[0].split(b"-")[0].ljust(9, b"0")
    whole = datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return whole.encode() + b"." + digits + b"Z"
