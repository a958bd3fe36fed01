"""CEL's standard functions and operators (cel-go: ``common/stdlib``)."""

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from sagong.api.cel import costs, operators, times
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.library.patterns import matches
from sagong.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
    param,
    type_of,
)
from sagong.api.cel.values import (
    INT_MAX,
    INT_MIN,
    NANOS,
    UINT_MAX,
    Duration,
    Timestamp,
    TypeValue,
    Uint,
    equal,
    to_key,
    type_name,
)

_A, _B = param("A"), param("B")
_ORDERED = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)
_NUMBERS = (INT, UINT, DOUBLE)
_INT_TEXT = re.compile(r"[+-]?[0-9]+")
_UINT_TEXT = re.compile(r"[0-9]+")
_FLOAT_TEXT = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[iI]nf(?:inity)?|NaN|nan)"
)
_EXPONENT_FROM = 6  # powers of ten that Go's %g writes as such
_BOOLS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    _logic(declaring)
    _arithmetic(declaring)
    _orders(declaring)
    _access(declaring)
    _conversions(declaring)
    _strings(declaring)
    _moments(declaring)
    return declaring.functions()


def _never(*args: Any) -> Any:
    """Evaluated by closures of their own (``evaluation``)."""
    raise AssertionError("an operator is not called")


def _logic(declaring: Declaring) -> None:
    declaring.function("_&&_", "logical_and", (BOOL, BOOL), BOOL, _never)
    declaring.function("_||_", "logical_or", (BOOL, BOOL), BOOL, _never)
    declaring.function("!_", "logical_not", (BOOL,), BOOL, _never)
    declaring.function("@not_strictly_false", "not_strictly_false", (BOOL,), BOOL, _never)
    declaring.function("_?_:_", "conditional", (BOOL, _A, _A), _A, _never)
    declaring.function("_==_", "equals", (_A, _A), BOOL, equal)
    declaring.function("_!=_", "not_equals", (_A, _A), BOOL, _never)


def _arithmetic(declaring: Declaring) -> None:
    names = {"_+_": operators.add, "_-_": operators.subtract, "_*_": operators.multiply}
    for name, call in {**names, "_/_": operators.divide}.items():
        for type_ in _NUMBERS:
            declaring.function(name, f"{name}_{type_.name}", (type_, type_), type_, call)
    for type_ in (INT, UINT):
        id_ = f"modulo_{type_.name}"
        declaring.function("_%_", id_, (type_, type_), type_, operators.remainder)
    for type_ in (INT, DOUBLE):
        declaring.function("-_", f"negate_{type_.name}", (type_,), type_, operators.negate)
    added = [(t, t, t) for t in (STRING, BYTES, DURATION, list_of(_A))]
    added += [(TIMESTAMP, DURATION, TIMESTAMP), (DURATION, TIMESTAMP, TIMESTAMP)]
    for left, right, result in added:
        id_ = f"add_{left.name}_{right.name}"
        declaring.function("_+_", id_, (left, right), result, operators.add)
    taken = ((TIMESTAMP, DURATION, TIMESTAMP), (TIMESTAMP, TIMESTAMP, DURATION))
    for left, right, result in (*taken, (DURATION, DURATION, DURATION)):
        id_ = f"subtract_{left.name}_{right.name}"
        declaring.function("_-_", id_, (left, right), result, operators.subtract)


def _orders(declaring: Declaring) -> None:
    calls = {
        "_<_": operators.less,
        "_<=_": operators.less_equal,
        "_>_": operators.greater,
        "_>=_": operators.greater_equal,
    }
    for name, call in calls.items():
        for type_ in _ORDERED:
            declaring.function(name, f"{name}_{type_.name}", (type_, type_), BOOL, call)
        for left in _NUMBERS:
            for right in _NUMBERS:
                if left != right:
                    id_ = f"{name}_{left.name}_{right.name}"
                    declaring.function(name, id_, (left, right), BOOL, call)


def _access(declaring: Declaring) -> None:
    list_, map_ = list_of(_A), map_of(_A, _B)
    declaring.function("_[_]", "index_list", (list_, INT), _A, operators.index)
    declaring.function("_[_]", "index_map", (map_, _A), _B, operators.index)
    declaring.function("@in", "in_list", (_A, list_), BOOL, _never)
    declaring.function("@in", "in_map", (_A, map_of(_A, _B)), BOOL, lambda k, m: to_key(k) in m)
    for type_ in (STRING, BYTES, list_, map_):
        declaring.function("size", f"size_{type_.name}", (type_,), INT, len)
        declaring.member("size", f"{type_.name}_size", (type_,), INT, len)
    declaring.function("type", "type", (_A,), type_of(_A), _type)
    declaring.function("dyn", "to_dyn", (_A,), DYN, lambda value: value)


def _type(value: Any) -> TypeValue:
    return TypeValue(type_name(value))


def _conversions(declaring: Declaring) -> None:
    table: tuple[tuple[str, Type, dict[Type, Callable[[Any], Any]]], ...] = (
        ("int", INT, {INT: _same, DOUBLE: _double_to_int, UINT: _uint_to_int, STRING: _text_to_int,
                      TIMESTAMP: lambda t: t.nanos // NANOS, DURATION: lambda d: d.nanos}),
        ("uint", UINT, {UINT: _same, INT: _int_to_uint, DOUBLE: _double_to_uint,
                        STRING: _text_to_uint}),
        ("double", DOUBLE, {DOUBLE: _same, INT: float, UINT: float, STRING: _text_to_double}),
        ("bool", BOOL, {BOOL: _same, STRING: _text_to_bool}),
        ("string", STRING, {STRING: _same, BOOL: show_bool, INT: str, UINT: lambda u: str(int(u)),
                            DOUBLE: show_double, BYTES: _bytes_to_text,
                            TIMESTAMP: times.show_timestamp, DURATION: times.show_duration}),
        ("bytes", BYTES, {BYTES: _same, STRING: lambda text: text.encode()}),
        ("timestamp", TIMESTAMP, {TIMESTAMP: _same, STRING: _text_to_timestamp,
                                  INT: lambda seconds: Timestamp(seconds * NANOS)}),
        ("duration", DURATION, {DURATION: _same, STRING: _text_to_duration, INT: Duration}),
    )  # fmt: skip
    for name, result, sources in table:
        for source, call in sources.items():
            by_length = costs.reads_first if {name, source.name} == {"string", "bytes"} else None
            id_ = f"{source.name}_to_{name}"
            declaring.function(name, id_, (source,), result, call, by_length)


def _same(value: Any) -> Any:
    return value


def _unconvertible(source: str, target: str) -> EvaluationError:
    return EvaluationError(f"type conversion error from '{source}' to '{target}'")


def _double_to_int(value: float) -> int:
    if math.isnan(value) or math.isinf(value) or not INT_MIN < value < INT_MAX:
        raise EvaluationError("integer overflow")
    return int(value)


def _uint_to_int(value: Uint) -> int:
    if value > INT_MAX:
        raise EvaluationError("integer overflow")
    return int(value)


def _text_to_int(text: str) -> int:
    if _INT_TEXT.fullmatch(text) is None or len(text) > 64:
        raise _unconvertible("string", "int")
    value = int(text)
    if not INT_MIN <= value <= INT_MAX:
        raise _unconvertible("string", "int")
    return value


def _int_to_uint(value: int) -> Uint:
    if value < 0:
        raise EvaluationError("unsigned integer overflow")
    return Uint(value)


def _double_to_uint(value: float) -> Uint:
    if math.isnan(value) or not 0 <= value < UINT_MAX:
        raise EvaluationError("unsigned integer overflow")
    return Uint(int(value))


def _text_to_uint(text: str) -> Uint:
    if _UINT_TEXT.fullmatch(text) is None or len(text) > 64 or int(text) > UINT_MAX:
        raise _unconvertible("string", "uint")
    return Uint(int(text))


def _text_to_double(text: str) -> float:
    if _FLOAT_TEXT.fullmatch(text) is None:
        raise _unconvertible("string", "double")
    value = float(text)
    if math.isinf(value) and "inf" not in text.lower():
        raise _unconvertible("string", "double")
    return value


def _text_to_bool(text: str) -> bool:
    if text not in _BOOLS:
        raise _unconvertible("string", "bool")
    return _BOOLS[text]


def _bytes_to_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _text_to_timestamp(text: str) -> Timestamp:
    try:
        return times.timestamp_of(text)
    except ValueError:
        raise _unconvertible("string", "google.protobuf.Timestamp") from None


def _text_to_duration(text: str) -> Duration:
    try:
        return times.duration_of(text)
    except ValueError:
        raise _unconvertible("string", "google.protobuf.Duration") from None


def show_bool(value: bool) -> str:
    return "true" if value else "false"


def show_double(value: float) -> str:
    """As Go's ``%g`` with as many digits as needed."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    # The shortest digits that read back as the same number, as Python's repr has them.
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    point = len(digits) + exponent - 1
    if value == 0 or -4 <= point < _EXPONENT_FROM:
        text = f"{Decimal(repr(value)):f}"
        return text.removesuffix(".0") if "." in text else text
    shown = "".join(map(str, digits))
    mantissa = f"{shown[0]}.{shown[1:]}" if len(shown) > 1 else shown
    return f"{'-' if sign else ''}{mantissa}e{'-' if point < 0 else '+'}{abs(point):02d}"


def _strings(declaring: Declaring) -> None:
    two = (STRING, STRING)
    for name, call, cost in (
        ("contains", lambda text, part: part in text, costs.contains),
        ("startsWith", str.startswith, costs.reads_first),
        ("endsWith", str.endswith, costs.reads_first),
        ("matches", matches, costs.matches),
    ):
        declaring.member(name, f"{name}_string", two, BOOL, call, cost)
    declaring.function("matches", "matches", two, BOOL, matches, costs.matches)


def _moments(declaring: Declaring) -> None:
    parts: dict[str, Callable[[datetime], int]] = {
        "getFullYear": lambda t: t.year,
        "getMonth": lambda t: t.month - 1,
        "getDayOfYear": lambda t: t.timetuple().tm_yday - 1,
        "getDayOfMonth": lambda t: t.day - 1,
        "getDate": lambda t: t.day,
        "getDayOfWeek": lambda t: t.isoweekday() % 7,
        "getHours": lambda t: t.hour,
        "getMinutes": lambda t: t.minute,
        "getSeconds": lambda t: t.second,
        "getMilliseconds": lambda t: t.microsecond // 1000,
    }
    for name, part in parts.items():
        declaring.member(name, f"timestamp_{name}", (TIMESTAMP,), INT, _part(part))
        with_zone = (TIMESTAMP, STRING)
        declaring.member(name, f"timestamp_{name}_with_tz", with_zone, INT, _part(part))
    whole = {
        "getHours": 3600 * NANOS,
        "getMinutes": 60 * NANOS,
        "getSeconds": NANOS,
        "getMilliseconds": 10**6,
    }
    for name, unit in whole.items():
        declaring.member(name, f"duration_{name}", (DURATION,), INT, _whole(unit))


def _part(part: Callable[[datetime], int]) -> Callable[..., int]:
    return lambda moment, zone="UTC": part(times.in_zone(moment, zone))


def _whole(unit: int) -> Callable[[Duration], int]:
    def units(value: Duration) -> int:
        count = abs(value.nanos) // unit
        return -count if value.nanos < 0 else count

    return units
