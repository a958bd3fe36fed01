"""Durations in Go's notation (``1h2m3.5s``, ``100ms``), as Kubernetes' APIs and files write them.

Semantics: Go's ``time.ParseDuration``.
"""

import re

NANOS = 10**9
_UNITS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": NANOS, "m": 60 * NANOS,
    "h": 3600 * NANOS,
}  # fmt: skip
_PART = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def nanoseconds(text: str) -> int:
    """Raises ValueError."""
    body = text[1:] if text[:1] in ("+", "-") else text
    if body == "0":
        return 0
    if not body:
        raise ValueError(f"cannot parse {text!r} as a duration")
    total, at = 0, 0
    while at < len(body):
        match = _PART.match(body, at)
        if match is None or not (match[1] or match[2]):
            raise ValueError(f"cannot parse {text!r} as a duration")
        unit = _UNITS[match[3]]
        fraction = match[2] or ""
        total += int(match[1] or 0) * unit
        total += int(fraction or 0) * unit // 10 ** len(fraction)
        at = match.end()
    return -total if text.startswith("-") else total


def seconds(text: str) -> float:
    """Raises ValueError."""
    return nanoseconds(text) / NANOS
