"""Closures of comprehensions: macros of the usual shapes run as Python loops.

What a shape costs for each item is what cel-go's interpreter charges for the general fold that the
macro expands to: reading the accumulator, testing the condition, appending.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sagong.api.cel.ast import Call, Comprehension, Const, Expr, Ident, ListExpr
from sagong.api.cel.errors import CostExceeded, EvaluationError, no_such_overload
from sagong.api.cel.values import from_key

if TYPE_CHECKING:
    from sagong.api.cel.evaluation import Compiler

Frame = list[Any]
Run = Callable[[Frame], Any]


def fold(compiler: "Compiler", node: Comprehension) -> Run:
    """The closure of a comprehension."""
    source = compiler.compile(node.iter_range)
    init = compiler.compile(node.init)
    (accu,) = compiler.enter(node.accu_var)
    names = [node.iter_var, node.iter_var2] if node.iter_var2 else [node.iter_var]
    slots = compiler.enter(*names)
    run = _shaped(compiler, node, source, slots)
    if run is None:
        run = _general(compiler, node, (source, init), accu, slots)
    else:
        compiler.leave()
    compiler.leave()
    return run


def _general(
    compiler: "Compiler", node: Comprehension, begun: tuple[Run, Run], accu: int, slots: list[int]
) -> Run:
    source, init = begun
    condition, step = compiler.compile(node.condition), compiler.compile(node.step)
    compiler.leave()
    result = compiler.compile(node.result)
    pairs = len(slots) == 2
    never = isinstance(node.condition, Const) and node.condition.value is False

    def run(frame: Frame) -> Any:
        over = source(frame)
        frame[accu] = init(frame)
        for item in () if never else _items(over, pairs=pairs):
            if frame[0] < 0:
                raise CostExceeded
            _set(frame, slots, item)
            if condition(frame) is not True:
                break
            frame[accu] = step(frame)
        return result(frame)

    return run


def _items(over: Any, *, pairs: bool) -> Sequence[Any]:
    if type(over) is list:
        return list(enumerate(over)) if pairs else over
    if type(over) is dict:
        if pairs:
            return [(from_key(key), value) for key, value in over.items()]
        return [from_key(key) for key in over]
    raise no_such_overload()


def _set(frame: Frame, slots: list[int], item: Any) -> None:
    if len(slots) == 1:
        frame[slots[0]] = item
    else:
        frame[slots[0]], frame[slots[1]] = item


def _shaped(compiler: "Compiler", node: Comprehension, source: Run, slots: list[int]) -> Run | None:
    """A loop of its own for ``all``, ``exists``, ``exists_one``, ``map`` and ``filter``."""
    if not node.accu_var.startswith("@"):
        return None
    step = node.step
    assert isinstance(step, Call) or step is not None
    if not isinstance(step, Call):
        return None
    if step.function in ("_&&_", "_||_"):
        return _quantified(source, compiler.compile(step.args[1]), slots, step.function == "_||_")
    if isinstance(node.init, Const):
        return _counted(source, compiler.compile(step.args[0]), slots)
    if not isinstance(node.init, ListExpr):
        return None
    test: Expr | None = None
    if step.function == "_?_:_":
        test, appended = step.args[0], step.args[1]
    else:
        appended = step
    if not isinstance(appended, Call) or appended.function != "_+_":
        return None
    added = appended.args[1]
    if not isinstance(added, ListExpr) or not isinstance(appended.args[0], Ident):
        return None
    test_run = None if test is None else compiler.compile(test)
    return _collected(source, test_run, compiler.compile(added.elements[0]), slots)


def _quantified(source: Run, test: Run, slots: list[int], ends: bool) -> Run:
    """``all`` (ends at false) and ``exists`` (ends at true); an error counts only if none ends."""
    pairs = len(slots) == 2
    # Whether to go on is tested before each item; exists negates for it.
    goes_on = 3 if ends else 2

    def run(frame: Frame) -> Any:
        error: EvaluationError | None = None
        items = _items(source(frame), pairs=pairs)
        for i, item in enumerate(items, 1):
            frame[0] -= goes_on + 1
            if frame[0] < 0:
                raise CostExceeded
            _set(frame, slots, item)
            try:
                found = test(frame)
            except EvaluationError as failed:
                error = error or failed
                continue
            if found is ends:
                frame[0] -= 1 if i == len(items) else 1 + goes_on
                return ends
            if type(found) is not bool:
                error = error or no_such_overload()
        frame[0] -= 1
        if error is not None:
            raise error
        return not ends

    return run


def _counted(source: Run, test: Run, slots: list[int]) -> Run:
    """``exists_one``."""
    pairs = len(slots) == 2

    def run(frame: Frame) -> Any:
        count = 0
        for item in _items(source(frame), pairs=pairs):
            frame[0] -= 1
            if frame[0] < 0:
                raise CostExceeded
            _set(frame, slots, item)
            found = test(frame)
            if found is True:
                frame[0] -= 1
                count += 1
            elif found is not False:
                raise no_such_overload()
        frame[0] -= 2
        return count == 1

    return run


def _collected(source: Run, test: Run | None, element: Run, slots: list[int]) -> Run:
    """``map``, ``filter`` and ``transformList``."""
    pairs = len(slots) == 2

    def run(frame: Frame) -> Any:
        frame[0] -= 10
        collected: list[Any] = []
        for item in _items(source(frame), pairs=pairs):
            if frame[0] < 0:
                raise CostExceeded
            _set(frame, slots, item)
            if test is not None:
                found = test(frame)
                if found is False:
                    frame[0] -= 1
                    continue
                if found is not True:
                    raise no_such_overload()
            frame[0] -= 12
            collected.append(element(frame))
        frame[0] -= 1
        return collected

    return run
