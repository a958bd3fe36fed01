"""A checked tree to Python closures, and the cost that running them takes.

A closure gets a ``Frame``: what is left of the budget, then the variables by slot. Every step takes
its price (cel-go's ``CostTracker``) off the budget; the budget is looked at where work may repeat
(folds) or depends on sizes, and at the end. An evaluation ends with a value, an ``EvaluationError``
(which ``&&``, ``||``, ``?:`` and folds may absorb) or ``CostExceeded`` (which nothing absorbs).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sagong.api.cel import costs, operators
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
from sagong.api.cel.checker import TYPE_NAMES
from sagong.api.cel.declarations import Functions, Overload
from sagong.api.cel.errors import CostExceeded, EvaluationError, no_such_overload
from sagong.api.cel.folds import fold
from sagong.api.cel.merging_lists import same_list, united
from sagong.api.cel.mutation_types import Made
from sagong.api.cel.types import Kind, Type, is_optional
from sagong.api.cel.values import Optional, Selectable, TypeValue, equal, to_key

Frame = list[Any]
Run = Callable[[Frame], Any]

BUDGET = 0  # the frame's first slot
# What lists joined by ``+`` may have: upstream joins them without copying, at the price of one.
ITEMS_MAX = 1_000_000
_LIST_COST, _MAP_COST, _STRUCT_COST = 10, 30, 40  # cel-go's base costs of making one
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "_<_": operators.less,
    "_<=_": operators.less_equal,
    "_>_": operators.greater,
    "_>=_": operators.greater_equal,
}


class Compiler:
    """Turns nodes into closures; hands out slots for variables."""

    def __init__(self, functions: Functions, structs: Mapping[str, Type]) -> None:
        self._functions = functions
        self._structs = structs
        self.variables: dict[str, int] = {}  # those that the expression uses
        self._scopes: list[dict[str, int]] = []
        self.slots = 1

    def compile(self, node: Expr) -> Run:
        """The closure that evaluates a node."""
        if isinstance(node, Const):
            return _constant(node.value)
        if isinstance(node, Ident):
            return self._ident(node.name)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, ListExpr):
            return self._list(node)
        if isinstance(node, MapExpr):
            return self._map(node)
        if isinstance(node, StructExpr):
            return self._struct(node)
        assert isinstance(node, Comprehension)
        return fold(self, node)

    def enter(self, *names: str) -> list[int]:
        """Slots for the variables of a new scope."""
        slots = list(range(self.slots, self.slots + len(names)))
        self.slots += len(names)
        self._scopes.append(dict(zip(names, slots, strict=True)))
        return slots

    def leave(self) -> None:
        self._scopes.pop()

    def _ident(self, name: str) -> Run:
        slot = self._slot(name)
        if slot is None:
            value = self._type_named(name)

            def named(frame: Frame) -> Any:
                frame[BUDGET] -= 1
                return value

            return named

        def run(frame: Frame) -> Any:
            frame[BUDGET] -= 1
            return frame[slot]

        return run

    def _type_named(self, name: str) -> TypeValue:
        found = TYPE_NAMES.get(name.removeprefix("."))
        return TypeValue(name if found is None else found.params[0].name)

    def _slot(self, name: str) -> int | None:
        if not name.startswith("."):
            for scope in reversed(self._scopes):
                if name in scope:
                    return scope[name]
        name = name.removeprefix(".")
        if name in TYPE_NAMES or name in self._structs:
            return None
        slot = self.variables.get(name)
        if slot is None:
            slot = self.variables[name] = self.slots
            self.slots += 1
        return slot

    def _select(self, node: Select) -> Run:
        if node.qualified:
            return self._ident(node.qualified)
        path: list[str] = []
        at: Expr = node
        if not node.test_only:
            while isinstance(at, Select) and _is_plain(at):
                path.append(_key_of(at))
                at = at.operand
            if isinstance(at, Ident) and path and not node.qualified:
                slot = self._slot(at.name)
                if slot is not None:
                    return _path(slot, tuple(reversed(path)))
        operand, key = self.compile(node.operand), _key_of(node)
        if node.test_only:

            def test(frame: Frame) -> Any:
                return operators.present(operand(frame), key)

            return test
        convert = node.type.convert
        select = operators.select

        def run(frame: Frame) -> Any:
            frame[BUDGET] -= 1
            value = select(operand(frame), key)
            return value if convert is None or value is None else convert(value)

        return run

    def _call(self, node: Call) -> Run:
        special = _SPECIAL.get(node.function)
        if special is not None:
            return special(self, node)
        runs = [self.compile(operand) for operand in node.operands()]
        if node.function in _ORDERS:
            return _ordered(_ORDERS[node.function], runs[0], runs[1])
        return self._overloaded(node, runs)

    def _overloaded(self, node: Call, runs: Sequence[Run]) -> Run:
        declared = self._functions[node.function]
        candidates = [overload for overload in declared if overload.id in node.overloads]
        known = all(not _is_open(operand.type) for operand in node.operands())
        if len(candidates) == 1 and known:
            return _direct(candidates[0], runs)
        return _dispatched(candidates, runs)

    def _list(self, node: ListExpr) -> Run:
        runs = [self.compile(element) for element in node.elements]
        if not node.optional:

            def plain(frame: Frame) -> Any:
                frame[BUDGET] -= _LIST_COST
                return [run(frame) for run in runs]

            return plain
        marked = [(run, i in node.optional) for i, run in enumerate(runs)]

        def run_all(frame: Frame) -> Any:
            frame[BUDGET] -= _LIST_COST
            found = []
            for run, optional in marked:
                value = run(frame)
                if not optional:
                    found.append(value)
                elif _checked_optional(value).present:
                    found.append(value.value)
            return found

        return run_all

    def _map(self, node: MapExpr) -> Run:
        entries = [(self.compile(e.key), self.compile(e.value), e.optional) for e in node.entries]

        def run(frame: Frame) -> Any:
            frame[BUDGET] -= _MAP_COST
            found: dict[Any, Any] = {}
            for key_run, value_run, optional in entries:
                shown = key_run(frame)
                key = to_key(shown)
                value = value_run(frame)
                if optional:
                    if not _checked_optional(value).present:
                        continue
                    value = value.value
                if key in found:
                    raise EvaluationError(f"Failed with repeated key: {operators.show_key(shown)}")
                found[key] = value
            return found

        return run

    def _struct(self, node: StructExpr) -> Run:
        name = node.name.removeprefix(".")
        known = self._structs[name].fields
        fields = [(known[f.name].key, self.compile(f.value), f.optional) for f in node.fields]

        def run(frame: Frame) -> Any:
            frame[BUDGET] -= _STRUCT_COST
            found: dict[str, Any] = {}
            for key, value_run, optional in fields:
                value = value_run(frame)
                if optional:
                    if not _checked_optional(value).present:
                        continue
                    value = value.value
                found[key] = value
            return Made(name, found)

        return run


def spend(frame: Frame, units: int) -> None:
    """Take a price that depends on sizes. Raises CostExceeded."""
    frame[BUDGET] -= units
    if frame[BUDGET] < 0:
        raise CostExceeded


def _constant(value: Any) -> Run:
    return lambda frame: value


def _path(slot: int, names: tuple[str, ...]) -> Run:
    """``variable.a.b.c``."""
    price = 1 + len(names)
    slow = operators.select

    def run(frame: Frame) -> Any:
        frame[BUDGET] -= price
        value = frame[slot]
        for name in names:
            value = value[name] if type(value) is dict and name in value else slow(value, name)
        return value

    return run


def _is_plain(node: Select) -> bool:
    """Is it a mere look-up, whose value is as it is in the object?"""
    if node.test_only or node.qualified or node.type.convert is not None:
        return False
    return not is_optional(node.operand.type)


def _key_of(node: Select) -> str:
    known = node.operand.type.fields.get(node.field)
    return node.field if known is None else known.key


def _is_open(type_: Type) -> bool:
    """May a value of this type be something else at run time?"""
    return type_.kind in (Kind.DYN, Kind.ERROR, Kind.PARAM)


def _checked_optional(value: Any) -> Optional:
    if not isinstance(value, Optional):
        raise EvaluationError(
            f"cannot initialize optional list element from non-optional value {value}"
        )
    return value


def _ordered(compare: Callable[[Any, Any], bool], left: Run, right: Run) -> Run:
    """A comparison; of strings, it costs by the shorter one's length."""

    def run(frame: Frame) -> Any:
        a, b = left(frame), right(frame)
        frame[BUDGET] -= _size_price(a, b)
        return compare(a, b)

    return run


def _size_price(a: Any, b: Any) -> int:
    sa = len(a) if type(a) in _SIZED else 1
    sb = len(b) if type(b) in _SIZED else 1
    return (min(sa, sb) + 9) // 10


_SIZED = frozenset((str, bytes, list, dict))


def _binary(operation: Callable[[Any, Any], Any]) -> Callable[["Compiler", Call], Run]:
    """An operation on two values that costs one unit, whatever they are."""

    def compiled(compiler: Compiler, node: Call) -> Run:
        left, right = compiler.compile(node.args[0]), compiler.compile(node.args[1])

        def run(frame: Frame) -> Any:
            frame[BUDGET] -= 1
            return operation(left(frame), right(frame))

        return run

    return compiled


def _direct(overload: Overload, runs: Sequence[Run]) -> Run:
    """A call whose overload is known."""
    call, cost = overload.call, overload.cost
    if cost is None and len(runs) == 1:
        only = runs[0]

        def single(frame: Frame) -> Any:
            frame[BUDGET] -= 1
            return call(only(frame))

        return single

    def run(frame: Frame) -> Any:
        args = [r(frame) for r in runs]
        # Paid before it is done: what is too dear is not begun.
        spend(frame, 1 if cost is None else cost(args))
        return call(*args)

    return run


def _dispatched(overloads: Sequence[Overload], runs: Sequence[Run]) -> Run:
    """A call whose overload shows at run time."""

    def run(frame: Frame) -> Any:
        args = [r(frame) for r in runs]
        for overload in overloads:
            if overload.accepts(args):
                spend(frame, 1 if overload.cost is None else overload.cost(args))
                return overload.call(*args)
        raise no_such_overload()

    return run


def _and(compiler: Compiler, node: Call) -> Run:
    left, right = compiler.compile(node.args[0]), compiler.compile(node.args[1])

    def run(frame: Frame) -> Any:
        try:
            first = left(frame)
        except EvaluationError:
            if right(frame) is False:
                return False
            raise
        if first is False:
            return False
        second = right(frame)
        if second is False:
            return False
        if first is not True or second is not True:
            raise no_such_overload()
        return True

    return run


def _or(compiler: Compiler, node: Call) -> Run:
    left, right = compiler.compile(node.args[0]), compiler.compile(node.args[1])

    def run(frame: Frame) -> Any:
        try:
            first = left(frame)
        except EvaluationError as error:
            try:
                if right(frame) is True:
                    return True
            except EvaluationError:
                raise error from None
            raise
        if first is True:
            return True
        second = right(frame)
        if second is True:
            return True
        if first is not False or second is not False:
            raise no_such_overload()
        return False

    return run


def _conditional(compiler: Compiler, node: Call) -> Run:
    test, then, otherwise = (compiler.compile(arg) for arg in node.args)

    def run(frame: Frame) -> Any:
        found = test(frame)
        if found is True:
            return then(frame)
        if found is False:
            return otherwise(frame)
        raise no_such_overload()

    return run


def _not(compiler: Compiler, node: Call) -> Run:
    operand = compiler.compile(node.args[0])

    def run(frame: Frame) -> Any:
        frame[BUDGET] -= 1
        value = operand(frame)
        if value is True:
            return False
        if value is False:
            return True
        raise no_such_overload()

    return run


def _not_strictly_false(compiler: Compiler, node: Call) -> Run:
    operand = compiler.compile(node.args[0])

    def run(frame: Frame) -> Any:
        frame[BUDGET] -= 1
        try:
            return operand(frame) is not False
        except EvaluationError:
            return True

    return run


def _equality(compiler: Compiler, node: Call, *, wanted: bool) -> Run:
    left, right = compiler.compile(node.args[0]), compiler.compile(node.args[1])
    same = same_list(node.args[0].type) or equal

    def run(frame: Frame) -> Any:
        a, b = left(frame), right(frame)
        frame[BUDGET] -= _size_price(a, b)
        return same(a, b) is wanted

    return run


def _equals(compiler: Compiler, node: Call) -> Run:
    return _equality(compiler, node, wanted=True)


def _differs(compiler: Compiler, node: Call) -> Run:
    return _equality(compiler, node, wanted=False)


def _add(compiler: Compiler, node: Call) -> Run:
    left, right = compiler.compile(node.args[0]), compiler.compile(node.args[1])
    operation = united(node.args[0].type) or operators.add

    def run(frame: Frame) -> Any:
        a, b = left(frame), right(frame)
        if type(a) is str or type(a) is bytes:
            spend(frame, (len(a) + costs.size(b) + 9) // 10)
            return operation(a, b)
        frame[BUDGET] -= 1
        if type(a) is list and len(a) + costs.size(b) > ITEMS_MAX:
            raise CostExceeded
        return operation(a, b)

    return run


def _negate(compiler: Compiler, node: Call) -> Run:
    operand = compiler.compile(node.args[0])

    def run(frame: Frame) -> Any:
        frame[BUDGET] -= 1
        return operators.negate(operand(frame))

    return run


def _optional_select(compiler: Compiler, node: Call) -> Run:
    operand = compiler.compile(node.args[0])
    field = node.args[1]
    assert isinstance(field, Const)
    target = node.args[0].type
    known = (target.params[0] if is_optional(target) else target).fields.get(field.value)
    key = field.value if known is None else known.key
    convert = None if known is None else known.type.convert

    def run(frame: Frame) -> Any:
        frame[BUDGET] -= 1
        found = operators.optional_index(operand(frame), key)
        if convert is not None and found.present and found.value is not None:
            return Optional(convert(found.value))
        return found

    return run


def _or_value(compiler: Compiler, node: Call) -> Run:
    """``optional.or(other)``, ``optional.orValue(value)``: the other is made only if needed."""
    assert node.target is not None
    first, second = compiler.compile(node.target), compiler.compile(node.args[0])
    takes_value = node.function == "orValue"

    def run(frame: Frame) -> Any:
        frame[BUDGET] -= 1
        found = first(frame)
        if not isinstance(found, Optional):
            raise no_such_overload()
        if not found.present:
            return second(frame)
        return found.value if takes_value else found

    return run


def _contains(compiler: Compiler, node: Call) -> Run:
    """``item in list``, ``key in map``."""
    item, container = compiler.compile(node.args[0]), compiler.compile(node.args[1])

    def run(frame: Frame) -> Any:
        wanted, held = item(frame), container(frame)
        if type(held) is list:
            spend(frame, len(held))
            return any(equal(wanted, found) for found in held)
        if type(held) is dict:
            frame[BUDGET] -= 1
            return to_key(wanted) in held
        if isinstance(held, Selectable) and isinstance(wanted, str):
            return operators.present(held, wanted)
        raise no_such_overload()

    return run


_SPECIAL: Mapping[str, Callable[[Compiler, Call], Run]] = {
    "_&&_": _and,
    "_||_": _or,
    "_?_:_": _conditional,
    "!_": _not,
    "-_": _negate,
    "@not_strictly_false": _not_strictly_false,
    "_==_": _equals,
    "_!=_": _differs,
    "_+_": _add,
    "_[_]": _binary(operators.index),
    "_[?_]": _binary(operators.optional_index),
    "_-_": _binary(operators.subtract),
    "_*_": _binary(operators.multiply),
    "_/_": _binary(operators.divide),
    "_%_": _binary(operators.remainder),
    "_?._": _optional_select,
    "@in": _contains,
    "or": _or_value,
    "orValue": _or_value,
}
