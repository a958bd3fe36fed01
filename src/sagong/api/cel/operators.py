"""Arithmetic, order and access on run-time values, with CEL's errors."""

import math
from collections.abc import Callable
from typing import Any

from sagong.api.cel.errors import EvaluationError, no_such_overload
from sagong.api.cel.values import (
    INT_MAX,
    INT_MIN,
    NUMBERS,
    UINT_MAX,
    Duration,
    Optional,
    Selectable,
    Timestamp,
    Uint,
    to_key,
    type_name,
)


def _int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def _uint(value: int) -> Uint:
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def add(a: Any, b: Any) -> Any:
    ta, tb = type(a), type(b)
    if ta is tb:
        if ta is int:
            return _int(a + b)
        if ta is str or ta is list or ta is float or ta is bytes:
            return a + b
        if ta is Uint:
            return _uint(int(a) + int(b))
        if ta is Duration:
            return Duration(a.nanos + b.nanos)
    elif (ta is Timestamp and tb is Duration) or (ta is Duration and tb is Timestamp):
        return Timestamp(a.nanos + b.nanos)
    raise no_such_overload()


def subtract(a: Any, b: Any) -> Any:
    ta, tb = type(a), type(b)
    if ta is tb:
        if ta is int:
            return _int(a - b)
        if ta is float:
            return a - b
        if ta is Uint:
            return _uint(int(a) - int(b))
        if ta is Duration or ta is Timestamp:
            return Duration(a.nanos - b.nanos)
    elif ta is Timestamp and tb is Duration:
        return Timestamp(a.nanos - b.nanos)
    raise no_such_overload()


def multiply(a: Any, b: Any) -> Any:
    ta = type(a)
    if ta is type(b):
        if ta is int:
            return _int(a * b)
        if ta is float:
            return a * b
        if ta is Uint:
            return _uint(int(a) * int(b))
    raise no_such_overload()


def divide(a: Any, b: Any) -> Any:
    """Integers are cut towards zero; doubles follow IEEE 754."""
    ta = type(a)
    if ta is not type(b):
        raise no_such_overload()
    if ta is float:
        return _float_division(a, b)
    if ta is not int and ta is not Uint:
        raise no_such_overload()
    if b == 0:
        raise EvaluationError("division by zero")
    if ta is Uint:
        return Uint(int(a) // int(b))
    quotient = abs(a) // abs(b)
    return _int(quotient if (a < 0) == (b < 0) else -quotient)


def _float_division(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def remainder(a: Any, b: Any) -> Any:
    """Has the sign of the dividend."""
    ta = type(a)
    if ta is not type(b) or (ta is not int and ta is not Uint):
        raise no_such_overload()
    if b == 0:
        raise EvaluationError("modulus by zero")
    if ta is Uint:
        return Uint(int(a) % int(b))
    if a == INT_MIN and b == -1:
        raise EvaluationError("integer overflow")
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


def negate(a: Any) -> Any:
    if type(a) is int:
        return _int(-a)
    if type(a) is float:
        return -a
    if type(a) is Duration:
        return Duration(-a.nanos)
    raise no_such_overload()


def _order(sign: str) -> Callable[[Any, Any], bool]:
    """``a sign b`` for what has an order: numbers across types, and equals of other types."""
    operation: Callable[[Any, Any], bool] = {
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
    }[sign]

    def compare(a: Any, b: Any) -> bool:
        ta, tb = type(a), type(b)
        if ta in NUMBERS:
            if tb in NUMBERS:
                return operation(a, b)
        elif ta is tb:
            if ta is str or ta is bytes or ta is bool:
                return operation(a, b)
            if ta is Timestamp or ta is Duration:
                return operation(a.nanos, b.nanos)
        raise no_such_overload()

    return compare


less, less_equal, greater, greater_equal = _order("<"), _order("<="), _order(">"), _order(">=")


def show_key(key: Any) -> str:
    return key if isinstance(key, str) else _shown(key)


def _shown(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(int(key)) if isinstance(key, int) else str(key)


def missing_key(key: Any) -> EvaluationError:
    return EvaluationError(f"no such key: {show_key(key)}")


def select(obj: Any, name: str) -> Any:
    """``obj.name``."""
    if type(obj) is dict:
        try:
            return obj[name]
        except KeyError:
            raise missing_key(name) from None
    if isinstance(obj, Selectable):
        try:
            return obj.select(name)
        except KeyError:
            raise missing_key(name) from None
    if isinstance(obj, Optional):
        return optional_index(obj, name)
    if isinstance(obj, list):
        raise EvaluationError("unsupported index type 'string' in list")
    raise missing_key(name)


def present(obj: Any, name: str) -> bool:
    """``has(obj.name)``."""
    if type(obj) is dict:
        return name in obj
    if isinstance(obj, Selectable):
        try:
            return obj.has(name)
        except KeyError:
            raise missing_key(name) from None
    if isinstance(obj, Optional):
        return obj.present and present(obj.value, name)
    raise no_such_overload() if isinstance(obj, list) else missing_key(name)


def index(obj: Any, key: Any) -> Any:
    """``obj[key]``."""
    if type(obj) is list:
        return obj[_position(obj, key)]
    if type(obj) is dict:
        try:
            return obj[to_key(key)]
        except KeyError:
            raise missing_key(key) from None
    if isinstance(obj, Optional):
        return optional_index(obj, key)
    if isinstance(obj, Selectable) and isinstance(key, str):
        return select(obj, key)
    raise no_such_overload()


def _position(items: list[Any], key: Any) -> int:
    kind = type(key)
    if kind is float and key.is_integer():
        key = int(key)
    elif kind is not int and kind is not Uint:
        raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")
    if not 0 <= key < len(items):
        raise EvaluationError(f"index out of bounds: {int(key)}")
    return int(key)


def optional_index(obj: Any, key: Any) -> Optional:
    """``obj[?key]`` and ``obj.?key``: none where there is nothing."""
    if isinstance(obj, Optional):
        return optional_index(obj.value, key) if obj.present else obj
    if type(obj) is dict:
        found = obj.get(to_key(key), _ABSENT)
        return _NOTHING if found is _ABSENT else Optional(found)
    if type(obj) is list:
        try:
            return Optional(obj[_position(obj, key)])
        except EvaluationError:
            if type(key) in NUMBERS:
                return _NOTHING
            raise
    if isinstance(obj, Selectable) and isinstance(key, str):
        return Optional(select(obj, key)) if present(obj, key) else _NOTHING
    raise no_such_overload()


_ABSENT = object()
_NOTHING = Optional(None, present=False)
