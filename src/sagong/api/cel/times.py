"""Timestamps and durations as text, and the parts of a timestamp in a zone."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.values import NANOS, Duration, Timestamp
from sagong.core.durations import nanoseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:[.,](\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)")


def timestamp_of(text: str) -> Timestamp:
    """From RFC 3339. Raises ValueError."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"cannot parse {text!r} as a timestamp")
    day, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return Timestamp(seconds * NANOS + int((fraction or "0")[:9].ljust(9, "0")))


def duration_of(text: str) -> Duration:
    """As Go's ``time.ParseDuration``. Raises ValueError."""
    try:
        return Duration(nanoseconds(text))
    except EvaluationError as error:
        raise ValueError(str(error)) from None


def show_duration(value: Duration) -> str:
    """Seconds: ``1.5s``."""
    sign = "-" if value.nanos < 0 else ""
    seconds, nanos = divmod(abs(value.nanos), NANOS)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{sign}{seconds}{fraction}s"


def show_timestamp(value: Timestamp) -> str:
    seconds, nanos = divmod(value.nanos, NANOS)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + "Z"


def in_zone(value: Timestamp, zone: str = "UTC") -> datetime:
    """The moment in a zone (a name or an offset), cut to microseconds. Raises EvaluationError."""
    moment = _EPOCH + timedelta(microseconds=value.nanos // 1000)
    try:
        return moment.astimezone(_zone(zone))
    except OverflowError:
        raise EvaluationError("timestamp overflow") from None


def _zone(name: str) -> tzinfo:
    match = _OFFSET.fullmatch(name)
    if match is not None:
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if offset >= timedelta(hours=24):
            raise EvaluationError(f"unknown time zone {name}")
        return timezone(-offset if sign == "-" else offset)
    if name in ("", "UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None
