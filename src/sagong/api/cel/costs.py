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


def reads_first(args: Sequence[Any]) -> int:
    """The first argument is gone through once."""
    return tenth(size(args[0]))


def joined(args: Sequence[Any]) -> int:
    """All of the result is written: the parts, and what stands between them."""
    between = size(args[1]) if len(args) > 1 else 0
    return tenth(sum(size(part) for part in args[0]) + between * len(args[0]))


def formatted(args: Sequence[Any]) -> int:
    """The template and what is put into it."""
    return tenth(size(args[0]) + sum(size(part) for part in args[1]))


def replaced(args: Sequence[Any]) -> int:
    """The text is gone through, and what it becomes is written."""
    text, old, new = args[0], args[1], args[2]
    return tenth(max(len(text), text.count(old) * len(new)))


def contains(args: Sequence[Any]) -> int:
    return tenth(size(args[0])) * tenth(size(args[1]))


def matches(args: Sequence[Any]) -> int:
    """A pattern's state machine is guessed from its length: a state for each four characters."""
    return tenth(size(args[0]) + 1) * ((size(args[1]) + 3) // 4)


def each_once(args: Sequence[Any]) -> int:
    """One unit for each item of the first argument."""
    return size(args[0])


def pairs(args: Sequence[Any]) -> int:
    """Each item of one is held against each of the other."""
    return 1 + size(args[0]) * size(args[1])


def squared(args: Sequence[Any]) -> int:
    return size(args[0]) * size(args[0])
