"""Lists: Kubernetes' ``library/lists.go`` and cel-go's ``ext.Lists``."""

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

from sagong.api.cel import costs, operators
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
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
    param,
)
from sagong.api.cel.values import Duration, Uint, equal

_T = param("T")
_COMPARABLE = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_SUMMABLE: tuple[tuple[Type, Any], ...] = (
    (INT, 0),
    (UINT, Uint(0)),
    (DOUBLE, 0.0),
    (DURATION, Duration(0)),
)


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    member, each = declaring.member, costs.each_once
    for type_ in _COMPARABLE:
        list_, name = (list_of(type_),), type_.name
        member("isSorted", f"list_{name}_is_sorted_bool", list_, BOOL, _is_sorted, each)
        member("min", f"list_{name}_min_{name}", list_, type_, _extreme("min"), each)
        member("max", f"list_{name}_max_{name}", list_, type_, _extreme("max"), each)
        member("sort", f"list_{name}_sort", list_, list_[0], _sorted, costs.squared)
        keys = (list_of(_T), list_[0])
        member("@sortByAssociatedKeys", f"list_{name}_sortByAssociatedKeys", keys, list_of(_T),
               _sorted_by, costs.squared)  # fmt: skip
    for type_, zero in _SUMMABLE:
        name = type_.name
        member("sum", f"list_{name}_sum_{name}", (list_of(type_),), type_, _sum(zero), each)
    any_list = list_of(_T)
    member("indexOf", "list_a_index_of_int", (any_list, _T), INT, _index_of, each)
    member("lastIndexOf", "list_a_last_index_of_int", (any_list, _T), INT, _last_index_of, each)
    member("distinct", "list_distinct", (any_list,), any_list, _distinct, costs.squared)
    member("reverse", "list_reverse", (any_list,), any_list, lambda items: items[::-1], each)
    member("slice", "list_slice", (any_list, INT, INT), any_list, _slice, each)
    flat = list_of(DYN)
    member("flatten", "list_flatten", (list_of(any_list),), any_list, _flatten, each)
    member("flatten", "list_flatten_int", (flat, INT), flat, _flatten, each)
    declaring.function("lists.range", "lists_range", (INT,), list_of(INT), _range, _numbers)
    return declaring.functions()


def _numbers(args: Sequence[Any]) -> int:
    return max(int(args[0]), 1)


def _is_sorted(items: list[Any]) -> bool:
    return all(not operators.greater(a, b) for a, b in pairwise(items))


def _extreme(name: str) -> Callable[[list[Any]], Any]:
    better = operators.less if name == "min" else operators.greater

    def find(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if better(item, best):
                best = item
        return best

    return find


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def total(items: list[Any]) -> Any:
        found = zero if not items or type(items[0]) is type(zero) else None
        for item in items:
            found = item if found is None else operators.add(found, item)
        return found

    return total


def _order(a: Any, b: Any) -> int:
    return -1 if operators.less(a, b) else int(operators.greater(a, b))


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=cmp_to_key(_order))


def _sorted_by(items: list[Any], keys: list[Any]) -> list[Any]:
    key = cmp_to_key(_order)
    order = sorted(range(len(items)), key=lambda i: key(keys[i]))
    return [items[i] for i in order]


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((i for i, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    found = _index_of(items[::-1], wanted)
    return -1 if found < 0 else len(items) - 1 - found


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if _index_of(found, item) < 0:
            found.append(item)
    return found


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        message = "start index must be less than or equal to end index"
        raise EvaluationError(f"cannot slice({start}, {end}), {message}")
    if end > len(items):
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        if type(item) is list and depth > 0:
            found += _flatten(item, depth - 1)
        else:
            found.append(item)
    return found


def _range(count: int) -> list[int]:
    if count < 0:
        raise EvaluationError(f"lists.range() size must be non-negative: {count}")
    return list(range(count))
