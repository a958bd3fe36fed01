"""``'%s is %d'.format([...])`` (cel-go's ``ext`` formatting)."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from sagong.api.cel import times
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.values import (
    Duration,
    Timestamp,
    TypeValue,
    Uint,
    from_key,
    type_name,
)

_CLAUSE = re.compile(r"%(?:%|(?:\.(\d+))?(.))", re.DOTALL)
_PRECISION_DEFAULT = 6
# More digits than a double has are padding; past it a short text would make a huge one.
_PRECISION_MAX = 1000


def formatted(template: str, args: list[Any]) -> str:
    """The template with its clauses replaced. Raises EvaluationError."""
    parts: list[str] = []
    at = used = 0
    for match in _CLAUSE.finditer(template):
        parts.append(template[at : match.start()])
        at = match.end()
        if match.group() == "%%":
            parts.append("%")
            continue
        if used >= len(args):
            raise EvaluationError(f"index {used} out of range")
        parts.append(_clause(match[2], _precision(match[1]), args[used]))
        used += 1
    parts.append(template[at:])
    return "".join(parts)


def _precision(digits: str | None) -> int:
    if digits is None:
        return _PRECISION_DEFAULT
    if len(digits) > 4 or int(digits) > _PRECISION_MAX:
        raise EvaluationError(f"error while parsing precision: precision {digits} is too large")
    return int(digits)


def _clause(verb: str, precision: int, value: Any) -> str:
    render = _VERBS.get(verb)
    if render is None:
        raise EvaluationError(
            f'could not parse formatting clause: unrecognized formatting clause "{verb}"'
        )
    return render(value, precision)


def _wrong(verb: str, value: Any, what: str) -> EvaluationError:
    return EvaluationError(
        f"error during formatting: {verb} clause can only be used on {what}, "
        f"was given {type_name(value)}"
    )


def _string(value: Any, precision: int) -> str:
    return shown(value)


def shown(value: Any) -> str:
    """A value as ``%s`` shows it."""
    for kind, show in _SHOWN.items():
        if type(value) is kind:
            return show(value)
    raise _wrong("string", value, "strings, bools, bytes, ints, doubles, maps, lists, types, "
                                  "durations, and timestamps")  # fmt: skip


def _double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = repr(value)
    return (
        f"{value:.0f}" if text.endswith(".0") else f"{value:f}".rstrip("0") if "e" in text else text
    )


def _map(value: dict[Any, Any]) -> str:
    pairs = sorted((shown(from_key(key)), shown(item)) for key, item in value.items())
    return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"


_SHOWN: Mapping[type, Callable[[Any], str]] = {
    str: lambda value: value,
    bool: lambda value: "true" if value else "false",
    int: str,
    Uint: lambda value: str(int(value)),
    float: _double,
    bytes: lambda value: value.decode(errors="replace"),
    type(None): lambda value: "null",
    list: lambda value: "[" + ", ".join(shown(item) for item in value) + "]",
    dict: _map,
    TypeValue: lambda value: value.name,
    Duration: times.show_duration,
    Timestamp: times.show_timestamp,
}


def _decimal(value: Any, precision: int) -> str:
    if type(value) in (int, Uint):
        return str(int(value))
    if type(value) is float:
        return _double(value)
    raise _wrong("decimal", value, "integers")


def _fixed(value: Any, precision: int) -> str:
    return _double(_real("fixed-point", value)) if _special(value) else f"{value:.{precision}f}"


def _scientific(value: Any, precision: int) -> str:
    return _double(_real("scientific", value)) if _special(value) else f"{value:.{precision}e}"


def _special(value: Any) -> bool:
    return type(value) not in (float, int, Uint) or not math.isfinite(value)


def _real(verb: str, value: Any) -> float:
    if type(value) is not float:
        raise _wrong(verb, value, "doubles")
    return value


def _binary(value: Any, precision: int) -> str:
    if type(value) in (int, Uint, bool):
        return f"{int(value):b}"
    raise _wrong("binary", value, "integers and bools")


def _octal(value: Any, precision: int) -> str:
    if type(value) in (int, Uint):
        return f"{int(value):o}"
    raise _wrong("octal", value, "integers")


def _hexadecimal(value: Any, precision: int) -> str:
    if type(value) in (int, Uint):
        return f"{int(value):x}"
    if type(value) is str:
        return str(value.encode().hex())
    if type(value) is bytes:
        return value.hex()
    raise _wrong("hex", value, "integers, byte buffers, and strings")


_VERBS: Mapping[str, Callable[[Any, int], str]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, precision: _hexadecimal(value, precision).upper(),
}
