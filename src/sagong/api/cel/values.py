"""Values while an expression runs.

    bool int float str bytes None list dict   themselves (ints are checked to fit 64 bits)
    Uint                                      an int that knows it is unsigned
    Timestamp, Duration                       nanoseconds
    Optional, TypeValue                       what they say
    everything else                           objects of ``library``, which know their type

Keys of maps that are bools are kept as ``TRUE_KEY``/``FALSE_KEY``: to Python, ``True == 1``.
"""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from sagong.api.cel.errors import EvaluationError

INT_MAX, INT_MIN, UINT_MAX = 2**63 - 1, -(2**63), 2**64 - 1
NANOS = 1_000_000_000


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"


class Duration:
    """Signed nanoseconds, at most 64 bits."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        if not INT_MIN <= nanos <= INT_MAX:
            raise EvaluationError("integer overflow")
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and other.nanos == self.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)


# Seconds since the epoch of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
TIMESTAMP_MIN, TIMESTAMP_MAX = -62135596800, 253402300799


class Timestamp:
    """Nanoseconds since the epoch, from year 1 to 9999."""

    __slots__ = ("nanos",)

    def __init__(self, nanos: int) -> None:
        if not TIMESTAMP_MIN <= nanos // NANOS <= TIMESTAMP_MAX:
            raise EvaluationError("timestamp overflow")
        self.nanos = nanos

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and other.nanos == self.nanos

    def __hash__(self) -> int:
        return hash(self.nanos)


class Optional:
    """``optional.of(value)``; ``NONE`` has no value."""

    __slots__ = ("present", "value")

    def __init__(self, value: Any, *, present: bool = True) -> None:
        self.value = value
        self.present = present


NONE = Optional(None, present=False)


class TypeValue:
    """A type as a value: what ``type(x)`` gives, and what ``int`` names."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


@runtime_checkable
class Abstract(Protocol):
    """A value of a library's own type."""

    type_name: str

    def equals(self, other: Any, /) -> bool: ...


class Selectable:
    """A value whose fields are computed when asked for (``variables.x``). KeyError if unknown."""

    __slots__ = ()

    def select(self, name: str) -> Any:
        raise KeyError(name)

    def has(self, name: str) -> bool:
        raise KeyError(name)


TRUE_KEY, FALSE_KEY = ("bool", True), ("bool", False)

_TYPE_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    type(None): "null_type",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Optional: "optional_type",
    TypeValue: "type",
}
NUMBERS = frozenset((int, Uint, float))


def type_name(value: Any) -> str:
    known = _TYPE_NAMES.get(type(value))
    return known if known is not None else str(getattr(value, "type_name", "dyn"))


def to_key(value: Any) -> Any:
    """The dict key that a CEL key is kept under. Raises EvaluationError for what is no key."""
    kind = type(value)
    if kind is bool:
        return TRUE_KEY if value else FALSE_KEY
    if kind is str or kind is int or kind is Uint:
        return value
    if kind is float:
        return int(value) if value.is_integer() else value
    raise EvaluationError(f"unsupported key type: {type_name(value)}")


def from_key(key: Any) -> Any:
    return key[1] if type(key) is tuple else key


def keys_of(value: dict[Any, Any]) -> Iterable[Any]:
    return [from_key(key) for key in value]


def equal(a: Any, b: Any) -> bool:
    """``==``: numbers across types, lists and maps item by item; different types are unequal."""
    ta, tb = type(a), type(b)
    if ta is str or tb is str:
        return ta is tb and bool(a == b)
    if ta in NUMBERS:
        return tb in NUMBERS and bool(a == b)
    if ta is list:
        if tb is not list or len(a) != len(b):
            return False
        return all(equal(x, y) for x, y in zip(a, b, strict=True))
    if ta is dict:
        if tb is not dict or len(a) != len(b):
            return False
        return all(key in b and equal(value, b[key]) for key, value in a.items())
    if ta is Optional:
        if tb is not Optional or a.present != b.present:
            return False
        return not a.present or equal(a.value, b.value)
    if ta is not tb:
        return False
    if ta in _TYPE_NAMES:
        return bool(a == b)
    return bool(a.equals(b))


def is_zero(value: Any) -> bool:
    """Is it the value that its type has when never set?"""
    if isinstance(value, (Duration, Timestamp)):
        return value.nanos == 0
    if isinstance(value, Optional):
        return not value.present
    return not value and not isinstance(value, TypeValue)
