"""Runs the expressions of one policy on one write, within one budget.

Pure: what an ``authorizer`` check needs is raised as ``Undecided``, and the whole is run again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.cel.environment import COST_MAX, Program
from sagong.api.cel.errors import CelError, CostExceeded, EvaluationError
from sagong.api.cel.values import Selectable

# What all expressions of a policy may cost for one write (upstream: RuntimeCELCostBudget).
BUDGET = 10_000_000
OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression, or why it could not be compiled."""

    text: str
    program: Program | None
    problem: str = ""


class Failed(CelError):
    """An expression gave no value; the text is upstream's."""


class OutOfBudget(Failed):
    """Nothing more is evaluated."""

    def __init__(self) -> None:
        super().__init__(OUT_OF_BUDGET)


class Evaluation:
    """Expressions on one set of variables; ``variables`` are worked out when first used."""

    def __init__(self, inputs: Mapping[str, Any], variables: Sequence[tuple[str, Expression]]):
        self._inputs = {"variables": _Lazy(self, dict(variables))}
        self._given = inputs
        self._left = BUDGET

    def value(self, expression: Expression) -> Any:
        """The value of an expression. Raises Failed, OutOfBudget."""
        if expression.program is None:
            raise Failed(f"compilation error: {expression.problem}")
        try:
            return self.run(expression.program)
        except CostExceeded as error:
            if self._left < COST_MAX:
                raise OutOfBudget from None
            raise _said(expression, error) from None
        except EvaluationError as error:
            raise _said(expression, error) from None

    def run(self, program: Program) -> Any:
        """Raises EvaluationError, CostExceeded."""
        outcome = program.run(_Both(self._inputs, self._given), cost_max=min(self._left, COST_MAX))
        self._left -= outcome.cost
        return outcome.value


class _Both(dict[str, Any]):
    """Variables of ours before those that are given."""

    def __init__(self, ours: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        super().__init__(ours)
        self._given = given

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._given

    def __missing__(self, name: str) -> Any:
        return self._given[name]


class _Lazy(Selectable):
    """``variables``: each is evaluated at most once, when it is first asked for."""

    __slots__ = ("_evaluation", "_expressions", "_found")

    def __init__(self, evaluation: Evaluation, expressions: Mapping[str, Expression]) -> None:
        self._evaluation = evaluation
        self._expressions = expressions
        self._found: dict[str, Any] = {}

    def has(self, name: str) -> bool:
        return name in self._expressions

    def select(self, name: str) -> Any:
        if name not in self._found:
            self._found[name] = self._worked_out(self._expressions[name], name)
        found = self._found[name]
        if isinstance(found, EvaluationError):
            raise found
        return found

    def _worked_out(self, expression: Expression, name: str) -> Any:
        if expression.program is None:
            return EvaluationError(f'composited variable "{name}" fails to compile')
        try:
            return self._evaluation.run(expression.program)
        except EvaluationError as error:
            return EvaluationError(f'composited variable "{name}" fails to evaluate: {error}')


def _said(expression: Expression, error: CelError) -> Failed:
    return Failed(f"expression '{expression.text}' resulted in error: {error}")
