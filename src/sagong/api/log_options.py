"""``PodLogOptions``: what of a container's log is asked for. Read by the API server and by agents.

Refusals are those of upstream's ``ValidatePodLogOptions``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sagong.api.errors import BadRequest, invalid
from sagong.api.types import Obj

_STREAMS = {"All": "", "Stdout": "stdout", "Stderr": "stderr"}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The container apart. Unset numbers are None."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: float | None = None  # seconds since the epoch
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = ""  # stdout, stderr; "" for both


def log_options(query: Mapping[str, str], *, pod: str, now: float) -> LogOptions:
    """Options from a query. Raises BadRequest for what cannot be read, Invalid for bad values."""
    since_seconds = _integer(query, "sinceSeconds")
    tail, limit = _integer(query, "tailLines"), _integer(query, "limitBytes")
    since_time = query.get("sinceTime", "")
    stream = query.get("stream") or "All"
    causes: list[Obj] = []
    if tail is not None and tail < 0:
        causes.append(_cause("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(_cause("limitBytes", limit, "must be greater than 0"))
    if since_seconds is not None and since_time:
        text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append({"reason": "FieldValueForbidden", "message": text, "field": ""})
    elif since_seconds is not None and since_seconds < 1:
        causes.append(_cause("sinceSeconds", since_seconds, "must be greater than 0"))
    if stream not in _STREAMS:
        text = f'Unsupported value: "{stream}": supported values: "All", "Stderr", "Stdout"'
        causes.append({"reason": "FieldValueNotSupported", "message": text, "field": "stream"})
    elif _STREAMS[stream] and tail is not None:
        text = "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now"
        causes.append({"reason": "FieldValueForbidden", "message": text, "field": ""})
    if causes:
        raise invalid("", "PodLogOptions", pod, causes)
    since = _time(since_time) if since_time else None
    return LogOptions(
        follow=is_true(query, "follow"),
        previous=is_true(query, "previous"),
        timestamps=is_true(query, "timestamps"),
        since=now - since_seconds if since_seconds is not None else since,
        tail_lines=tail,
        limit_bytes=limit,
        stream=_STREAMS[stream],
    )


def is_true(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter, as apimachinery reads it: everything but false and 0."""
    return query.get(name, "false").lower() not in ("false", "0")


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise BadRequest(message) from None


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        message = f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it'
        raise BadRequest(message) from None


def _cause(field: str, value: int, why: str) -> Obj:
    message = f"Invalid value: {value}: {why}"
    return {"reason": "FieldValueInvalid", "message": message, "field": field}
