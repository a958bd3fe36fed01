"""Prices of calls at run time that depend on sizes, as cel-go's and Kubernetes' cost models say.

All of a text is read at a tenth of a unit a character.
"""

from collections.abc import Sequence
from typing import Any

_SIZED = frozenset((str, bytes, list, dict))


def size(value: Any) -> int:
    return len(value) if type(value) in _SIZED else 1


def tenth(units: int) -> int:
    return (units + 9) // 10


def reads_first(args: Sequence[Any], result: Any) -> int:
    """The first argument is gone through once."""
    return tenth(size(args[0]))


def reads_result(args: Sequence[Any], result: Any) -> int:
    return tenth(size(result))


def contains(args: Sequence[Any], result: Any) -> int:
    return tenth(size(args[0])) * tenth(size(args[1]))


def matches(args: Sequence[Any], result: Any) -> int:
    """A pattern's state machine is guessed from its length: a state for each four characters."""
    return tenth(size(args[0]) + 1) * ((size(args[1]) + 3) // 4)


def each_once(args: Sequence[Any], result: Any) -> int:
    """One unit for each item of the first argument."""
    return size(args[0])


def pairs(args: Sequence[Any], result: Any) -> int:
    """Each item of one is held against each of the other."""
    return 1 + size(args[0]) * size(args[1])


def squared(args: Sequence[Any], result: Any) -> int:
    return size(args[0]) * size(args[0])
