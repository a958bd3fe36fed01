"""What evaluating an expression may cost at most, found out without evaluating it.

Source of semantics: cel-go's ``checker/cost.go``, and Kubernetes' estimates for its libraries. How
large variables may be is in their types (``size_max``); what is not known counts as 2**64.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.cel.ast import (
    Call,
    Comprehension,
    Const,
    Expr,
    Ident,
    ListExpr,
    MapExpr,
    Select,
    StructExpr,
)
from sagong.api.cel.library.authorizer import CHECK_COST
from sagong.api.cel.types import Kind, Type

UNKNOWN = 2**64 - 1
_STRING_FACTOR, _PATTERN_FACTOR = 0.1, 0.25
_SCALAR_TEXT_MAX = 32  # characters of a number, moment or duration as text
_LIST_COST, _MAP_COST, _STRUCT_COST = 10, 30, 40


@dataclass(frozen=True, slots=True)
class Range:
    """At least and at most; of sizes and of costs."""

    low: int
    high: int

    def plus(self, other: "Range") -> "Range":
        return Range(_most(self.low + other.low), _most(self.high + other.high))

    def times(self, other: "Range") -> "Range":
        return Range(_most(self.low * other.low), _most(self.high * other.high))

    def scaled(self, factor: float) -> "Range":
        return Range(_scale(self.low, factor), _scale(self.high, factor))

    def either(self, other: "Range") -> "Range":
        return Range(min(self.low, other.low), max(self.high, other.high))


def _most(number: int) -> int:
    return min(number, UNKNOWN)


def _scale(number: int, factor: float) -> int:
    return UNKNOWN if number >= UNKNOWN else _most(math.ceil(number * factor))


ZERO, ONE = Range(0, 0), Range(1, 1)
_ANY_SIZE = Range(0, UNKNOWN)


def cost_max(tree: Expr) -> int:
    """The most that evaluating a checked tree may cost; unknown if it is too deep to tell."""
    try:
        return _Estimator().cost(tree).high
    except RecursionError:
        return UNKNOWN


class _Estimator:
    def __init__(self) -> None:
        self._sizes: dict[int, Range] = {}  # by id of the node: of what calls and folds give
        self._bound: dict[str, Range] = {}  # of variables that stand for something computed

    def cost(self, node: Expr) -> Range:
        if isinstance(node, Const):
            return ZERO
        if isinstance(node, Ident):
            return ONE
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListExpr):
            return self._all(node.elements).plus(Range(_LIST_COST, _LIST_COST))
        if isinstance(node, MapExpr):
            return self._all(list(node.children())).plus(Range(_MAP_COST, _MAP_COST))
        if isinstance(node, StructExpr):
            return self._all(list(node.children())).plus(Range(_STRUCT_COST, _STRUCT_COST))
        assert isinstance(node, Comprehension)
        return self._fold(node)

    def _all(self, nodes: Sequence[Expr]) -> Range:
        total = ZERO
        for node in nodes:
            total = total.plus(self.cost(node))
        return total

    def _select(self, node: Select) -> Range:
        if node.qualified:
            return ONE
        cost = self.cost(node.operand)
        kind = node.operand.type.kind
        if not node.test_only and kind in (Kind.MAP, Kind.STRUCT, Kind.PARAM):
            cost = cost.plus(ONE)
        return cost

    def _fold(self, node: Comprehension) -> Range:
        total = self.cost(node.iter_range).plus(self.cost(node.init))
        if not node.accu_var.startswith("@"):
            self._bound[node.accu_var] = self.size(node.init)
        each = self.cost(node.condition).plus(self.cost(node.step))
        total = total.plus(self.cost(node.result))
        count = self.size(node.iter_range)
        is_list = node.type.kind in (Kind.LIST, Kind.MAP)
        self._sizes[id(node)] = Range(0, count.high) if is_list else self.size(node.result)
        return total.plus(count.times(each))

    def size(self, node: Expr) -> Range:
        """How large the node's value is: characters, bytes, items, entries; 1 of a scalar."""
        known = self._sizes.get(id(node))
        if known is not None:
            return known
        if isinstance(node, Const):
            value = node.value
            return _exactly(len(value)) if isinstance(value, (str, bytes)) else ONE
        if isinstance(node, ListExpr):
            return _exactly(len(node.elements))
        if isinstance(node, MapExpr):
            return _exactly(len(node.entries))
        if isinstance(node, Ident) and node.name in self._bound:
            return self._bound[node.name]
        return _of_type(node.type)

    def _call(self, node: Call) -> Range:
        operands = node.operands()
        costs = [self.cost(operand) for operand in operands]
        special = _LAZY.get(node.function)
        if special is not None:
            if node.function == "_?_:_":
                either = self.size(operands[1]).either(self.size(operands[2]))
                self._sizes[id(node)] = either
            return special(costs)
        sizes = [self.size(operand) for operand in operands]
        price, size = _priced(node, sizes)
        if size is not None:
            self._sizes[id(node)] = size
        total = price
        for cost in costs:
            total = total.plus(cost)
        return total


def _exactly(count: int) -> Range:
    return Range(count, count)


def _of_type(type_: Type) -> Range:
    if type_.kind in (Kind.STRING, Kind.BYTES, Kind.LIST, Kind.MAP, Kind.DYN):
        return Range(0, type_.size_max) if type_.size_max >= 0 else _ANY_SIZE
    if type_.kind is Kind.STRUCT:
        return _ANY_SIZE if not type_.fields else Range(0, len(type_.fields))
    return ONE


def _short_circuit(costs: Sequence[Range]) -> Range:
    return Range(costs[0].low, costs[0].plus(costs[1]).high)


def _choice(costs: Sequence[Range]) -> Range:
    return costs[0].plus(costs[1].either(costs[2]))


_LAZY: Mapping[str, Callable[[Sequence[Range]], Range]] = {
    "_&&_": _short_circuit,
    "_||_": _short_circuit,
    "_?_:_": _choice,
}

_Priced = tuple[Range, Range | None]


def _priced(node: Call, sizes: Sequence[Range]) -> _Priced:
    """What a call costs besides its arguments, and the size of what it gives."""
    known = _PRICES.get(node.function)
    return (ONE, None) if known is None else known(node, sizes)


def _compared(node: Call, sizes: Sequence[Range]) -> _Priced:
    most = min(sizes[0].high, sizes[1].high)
    return Range(1 if most else 0, most).scaled(_STRING_FACTOR), None


def _added(node: Call, sizes: Sequence[Range]) -> _Priced:
    kind = node.type.kind
    both = sizes[0].plus(sizes[1])
    if kind in (Kind.STRING, Kind.BYTES):
        return both.scaled(_STRING_FACTOR), both
    return ONE, both if kind is Kind.LIST else None


def _in(node: Call, sizes: Sequence[Range]) -> _Priced:
    return (sizes[1], None) if node.args[1].type.kind is Kind.LIST else (ONE, None)


def _matched(node: Call, sizes: Sequence[Range]) -> _Priced:
    text = sizes[0].plus(ONE).scaled(_STRING_FACTOR)
    return text.times(sizes[1].scaled(_PATTERN_FACTOR)), _found(node, sizes)


def _found(node: Call, sizes: Sequence[Range]) -> Range | None:
    return Range(0, sizes[0].high) if node.function in ("find", "findAll") else None


def _contained(node: Call, sizes: Sequence[Range]) -> _Priced:
    return sizes[0].scaled(_STRING_FACTOR).times(sizes[1].scaled(_STRING_FACTOR)), None


def _read(node: Call, sizes: Sequence[Range]) -> _Priced:
    """The first operand is gone through once; what comes of it is no larger."""
    return sizes[0].scaled(_STRING_FACTOR), Range(0, sizes[0].high)


def _shown(node: Call, sizes: Sequence[Range]) -> _Priced:
    """``string(x)``: texts of scalars are short."""
    if node.args[0].type.kind in (Kind.STRING, Kind.BYTES):
        return _read(node, sizes)
    return ONE, _ANY_SIZE if node.args[0].type.is_dyn else Range(1, _SCALAR_TEXT_MAX)


def _suffix_read(node: Call, sizes: Sequence[Range]) -> _Priced:
    return sizes[-1].scaled(_STRING_FACTOR), None


def _replaced(node: Call, sizes: Sequence[Range]) -> _Priced:
    text, new = sizes[0], sizes[2] if len(sizes) > 2 else ONE
    return text.scaled(_STRING_FACTOR), Range(0, _most(text.high * max(new.high, 1)))


def _joined(node: Call, sizes: Sequence[Range]) -> _Priced:
    element = _of_type(node.operands()[0].type.params[0]) if node.operands()[0].type.params else ONE
    separator = sizes[1] if len(sizes) > 1 else ZERO
    result = sizes[0].times(element.plus(separator))
    return result.scaled(_STRING_FACTOR), result


def _each(node: Call, sizes: Sequence[Range]) -> _Priced:
    """Every item is compared; of texts, all of each."""
    element = node.operands()[0].type.params
    price = ONE
    if element and element[0].kind in (Kind.STRING, Kind.BYTES):
        price = price.plus(_of_type(element[0]).scaled(_STRING_FACTOR))
    return sizes[0].times(price), None


def _pairs(node: Call, sizes: Sequence[Range]) -> _Priced:
    return ONE.plus(sizes[0].times(sizes[1])), None


def _checked(node: Call, sizes: Sequence[Range]) -> _Priced:
    return Range(CHECK_COST, CHECK_COST), None


_PRICES: Mapping[str, Callable[[Call, Sequence[Range]], _Priced]] = {
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _compared),
    "_+_": _added,
    "@in": _in,
    **dict.fromkeys(("matches", "find", "findAll"), _matched),
    "contains": _contained,
    **dict.fromkeys(("startsWith", "endsWith"), _suffix_read),
    **dict.fromkeys(
        (
            "lowerAscii", "upperAscii", "substring", "trim", "split", "bytes", "strings.quote",
            "url", "isURL", "quantity", "isQuantity", "ip", "isIP", "cidr", "isCIDR", "semver",
            "isSemver", "validate", "format", "reverse",
        ),
        _read,
    ),
    "string": _shown,
    "replace": _replaced,
    "join": _joined,
    **dict.fromkeys(("isSorted", "sum", "min", "max", "indexOf", "lastIndexOf"), _each),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _pairs),
    "check": _checked,
}  # fmt: skip
