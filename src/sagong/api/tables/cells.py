"""Cells that many kinds share: ages, selectors, containers, bounds on lists."""

from collections.abc import Mapping, Sequence
from typing import Any

from sagong.api.types import Obj
from sagong.core.clock import parse_time

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def human_duration(seconds: float) -> str:
    """A duration as apimachinery's ``duration.HumanDuration`` shortens it: 90s, 5m30s, 3h, 2d4h."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    if whole < 10 * _MINUTE:
        return _two(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _two(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _two(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    if whole < 8 * _YEAR:
        return _two(whole, _YEAR, "y", _DAY, "d")
    return f"{whole // _YEAR}y"


def _two(whole: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = whole % large // small
    head = f"{whole // large}{large_unit}"
    return head if rest == 0 else f"{head}{rest}{small_unit}"


def since(time: str | None, now: float) -> str:
    """How long ago a timestamp was; <unknown> where there is none."""
    return human_duration(now - parse_time(time)) if time else UNKNOWN


def age(obj: Obj, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def name(obj: Obj) -> str:
    return str(obj["metadata"].get("name", ""))


def labels(values: Mapping[str, str] | None) -> str:
    """``a=b,c=d`` sorted, or <none>."""
    return ",".join(f"{k}={v}" for k, v in sorted((values or {}).items())) or NONE


_OPERATORS = {"In": "in", "NotIn": "notin"}


def selector(value: Obj | None) -> str:
    """A LabelSelector as ``metav1.FormatLabelSelector`` writes it."""
    if value is None:
        return NONE
    parts = [(k, f"{k}={v}") for k, v in (value.get("matchLabels") or {}).items()]
    for expression in value.get("matchExpressions") or ():
        key, operator = expression["key"], expression["operator"]
        if operator in _OPERATORS:
            values = ",".join(sorted(expression.get("values") or ()))
            parts.append((key, f"{key} {_OPERATORS[operator]} ({values})"))
        else:
            parts.append((key, key if operator == "Exists" else f"!{key}"))
    return ",".join(text for _, text in sorted(parts)) or NONE


def containers(pod_spec: Obj) -> list[str]:
    """The names and the images of a pod's containers, each joined by commas."""
    found = pod_spec.get("containers") or ()
    return [
        ",".join(c.get("name", "") for c in found),
        ",".join(c.get("image", "") for c in found),
    ]


def shortened(items: Sequence[str], most: int) -> str:
    """At most so many items, then how many more there are."""
    if not items:
        return NONE
    joined = ",".join(items[:most])
    return joined if len(items) <= most else f"{joined} + {len(items) - most} more..."


def int_or_string(value: Any, absent: str = "N/A") -> str:
    return absent if value is None else str(value)


def pointer(value: Any, absent: str = UNSET) -> str:
    """An optional value; Go prints booleans in lower case."""
    if value is None:
        return absent
    return str(value).lower() if isinstance(value, bool) else str(value)
