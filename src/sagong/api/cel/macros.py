"""Macros: calls that the parser replaces by what they stand for.

``MACROS`` maps (name, number of arguments, has a receiver) to a function that gives the expansion,
or None where the call is a plain one (``bind`` of something else than ``cel``).
"""

from collections.abc import Callable, Mapping, Sequence

from sagong.api.cel.ast import (
    Call,
    Comprehension,
    Const,
    Expr,
    Ident,
    ListExpr,
    MapExpr,
    Select,
)
from sagong.api.cel.errors import CelError, Issue

ACCUMULATOR = "@result"
UNUSED = "#unused"

Macro = Callable[[int, Expr | None, Sequence[Expr]], Expr | None]


class MacroError(CelError):
    def __init__(self, pos: int, message: str) -> None:
        self.issue = Issue(pos, message)
        super().__init__(message)


def _variable(expr: Expr, message: str = "argument must be a simple name") -> str:
    """The name of a comprehension's variable."""
    if not isinstance(expr, Ident) or expr.name.startswith("."):
        raise MacroError(expr.pos, message)
    if expr.name in ("__result__", ACCUMULATOR):
        raise MacroError(expr.pos, "iteration variable overwrites accumulator variable")
    return expr.name


def _accumulator(pos: int) -> Expr:
    return Ident(pos, ACCUMULATOR)


def _has(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
    wanted = args[0]
    if isinstance(wanted, Select) and not wanted.test_only:
        return Select(pos, wanted.operand, wanted.field, test_only=True)
    if isinstance(wanted, Call) and wanted.function == "_?._":
        raise MacroError(wanted.pos, "invalid argument to has() macro")
    raise MacroError(wanted.pos, "invalid argument to has() macro")


def _variables(args: Sequence[Expr], count: int) -> tuple[str, str]:
    if count == 1:
        return _variable(args[0]), ""
    first = _variable(args[0])
    second = _variable(args[1])
    if first == second:
        raise MacroError(args[1].pos, f"duplicate variable name: {first}")
    return first, second


def _quantifier(count: int, fold: Callable[[int, Expr], tuple[Expr, ...]]) -> Macro:
    """``all``, ``exists``, ``exists_one`` over ``count`` variables."""

    def expand(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
        assert target is not None
        first, second = _variables(args, count)
        names = (first, second, ACCUMULATOR)
        return Comprehension(pos, target, names, folded=fold(pos, args[-1]))

    return expand


def _all(pos: int, test: Expr) -> tuple[Expr, ...]:
    going = Call(pos, "@not_strictly_false", [_accumulator(pos)], None)
    step = Call(pos, "_&&_", [_accumulator(pos), test], None)
    return Const(pos, True), going, step, _accumulator(pos)


def _exists(pos: int, test: Expr) -> tuple[Expr, ...]:
    negated = Call(pos, "!_", [_accumulator(pos)], None)
    going = Call(pos, "@not_strictly_false", [negated], None)
    step = Call(pos, "_||_", [_accumulator(pos), test], None)
    return Const(pos, False), going, step, _accumulator(pos)


def _exists_one(pos: int, test: Expr) -> tuple[Expr, ...]:
    more = Call(pos, "_+_", [_accumulator(pos), Const(pos, 1)], None)
    step = Call(pos, "_?_:_", [test, more, _accumulator(pos)], None)
    result = Call(pos, "_==_", [_accumulator(pos), Const(pos, 1)], None)
    return Const(pos, 0), Const(pos, True), step, result


def _guarded(pos: int, test: Expr | None, step: Expr) -> Expr:
    if test is None:
        return step
    return Call(pos, "_?_:_", [test, step, _accumulator(pos)], None)


def _appended(pos: int, element: Expr) -> Expr:
    return Call(pos, "_+_", [_accumulator(pos), ListExpr(pos, [element])], None)


def _mapped(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
    assert target is not None
    name = _variable(args[0], "argument is not an identifier")
    test = args[1] if len(args) == 3 else None
    step = _guarded(pos, test, _appended(pos, args[-1]))
    folded = (ListExpr(pos, []), Const(pos, True), step, _accumulator(pos))
    return Comprehension(pos, target, (name, "", ACCUMULATOR), folded=folded)


def _filtered(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
    assert target is not None
    name = _variable(args[0], "argument is not an identifier")
    step = _guarded(pos, args[1], _appended(pos, Ident(args[0].pos, name)))
    folded = (ListExpr(pos, []), Const(pos, True), step, _accumulator(pos))
    return Comprehension(pos, target, (name, "", ACCUMULATOR), folded=folded)


def _transform_list(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
    assert target is not None
    first, second = _variables(args, 2)
    test = args[2] if len(args) == 4 else None
    step = _guarded(pos, test, _appended(pos, args[-1]))
    folded = (ListExpr(pos, []), Const(pos, True), step, _accumulator(pos))
    return Comprehension(pos, target, (first, second, ACCUMULATOR), folded=folded)


def _transform_map(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
    assert target is not None
    first, second = _variables(args, 2)
    test = args[2] if len(args) == 4 else None
    inserted = [_accumulator(pos), Ident(pos, first), args[-1]]
    step = _guarded(pos, test, Call(pos, "cel.@mapInsert", inserted, None))
    folded = (MapExpr(pos, []), Const(pos, True), step, _accumulator(pos))
    return Comprehension(pos, target, (first, second, ACCUMULATOR), folded=folded)


def _transform_entry(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
    assert target is not None
    first, second = _variables(args, 2)
    test = args[2] if len(args) == 4 else None
    step = _guarded(pos, test, Call(pos, "cel.@mapInsert", [_accumulator(pos), args[-1]], None))
    folded = (MapExpr(pos, []), Const(pos, True), step, _accumulator(pos))
    return Comprehension(pos, target, (first, second, ACCUMULATOR), folded=folded)


def _bound(pos: int, name: str, value: Expr, body: Expr) -> Expr:
    """``name`` stands for ``value`` in ``body``: a fold over nothing."""
    folded = (value, Const(pos, False), Ident(pos, name), body)
    return Comprehension(pos, ListExpr(pos, []), (UNUSED, "", name), folded=folded)


def _bind(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr | None:
    if not isinstance(target, Ident) or target.name != "cel":
        return None
    if not isinstance(args[0], Ident):
        raise MacroError(args[0].pos, "cel.bind() variable names must be simple identifiers")
    return _bound(pos, args[0].name, args[1], args[2])


def _optional_map(flat: bool) -> Macro:
    name = "optFlatMap" if flat else "optMap"

    def expand(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
        assert target is not None
        if not isinstance(args[0], Ident):
            raise MacroError(args[0].pos, f"{name}() variable name must be a simple identifier")
        value = Call(pos, "value", [], target)
        body = _bound(pos, args[0].name, value, args[1])
        present = body if flat else Call(pos, "optional.of", [body], None)
        absent = Call(pos, "optional.none", [], None)
        return Call(pos, "_?_:_", [Call(pos, "hasValue", [], target), present, absent], None)

    return expand


def _sort_by(pos: int, target: Expr | None, args: Sequence[Expr]) -> Expr:
    assert target is not None
    name = _variable(args[0], "sortBy() variable name must be a simple identifier")
    bound = "@__sortBy_input__"
    keys = _mapped(pos, Ident(pos, bound), [Ident(args[0].pos, name), args[1]])
    sorted_ = Call(pos, "@sortByAssociatedKeys", [keys], Ident(pos, bound))
    return _bound(pos, bound, target, sorted_)


MACROS: Mapping[tuple[str, int, bool], Macro] = {
    ("has", 1, False): _has,
    ("all", 2, True): _quantifier(1, _all),
    ("all", 3, True): _quantifier(2, _all),
    ("exists", 2, True): _quantifier(1, _exists),
    ("exists", 3, True): _quantifier(2, _exists),
    ("exists_one", 2, True): _quantifier(1, _exists_one),
    ("existsOne", 2, True): _quantifier(1, _exists_one),
    ("existsOne", 3, True): _quantifier(2, _exists_one),
    ("map", 2, True): _mapped,
    ("map", 3, True): _mapped,
    ("filter", 2, True): _filtered,
    ("transformList", 3, True): _transform_list,
    ("transformList", 4, True): _transform_list,
    ("transformMap", 3, True): _transform_map,
    ("transformMap", 4, True): _transform_map,
    ("transformMapEntry", 3, True): _transform_entry,
    ("transformMapEntry", 4, True): _transform_entry,
    ("bind", 3, True): _bind,
    ("optMap", 2, True): _optional_map(flat=False),
    ("optFlatMap", 2, True): _optional_map(flat=True),
    ("sortBy", 2, True): _sort_by,
}
