"""Lists as sets (cel-go's ``ext.Sets``)."""

from typing import Any

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.types import BOOL, list_of, param
from sagong.api.cel.values import equal

_T = param("T")


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    two = (list_of(_T), list_of(_T))
    for name, call in (
        ("contains", contains),
        ("equivalent", _equivalent),
        ("intersects", _intersects),
    ):
        declaring.function(f"sets.{name}", f"list_sets_{name}_list", two, BOOL, call, costs.pairs)
    return declaring.functions()


def contains(whole: list[Any], part: list[Any]) -> bool:
    return all(any(equal(item, other) for other in whole) for item in part)


def _equivalent(first: list[Any], second: list[Any]) -> bool:
    return contains(first, second) and contains(second, first)


def _intersects(first: list[Any], second: list[Any]) -> bool:
    return any(equal(item, other) for item in first for other in second)
