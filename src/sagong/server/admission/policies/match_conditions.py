"""``matchConditions``: whether a webhook or a policy is concerned by a write, as CEL says.

For webhooks:

    conditions = compile_conditions(webhook.get("matchConditions") or ())
    match = await conditions.match(seen, authorizer, failure_policy="Fail")
    match.matches   call it
    match.error     with failurePolicy Fail: refuse the write, this is why ("" otherwise)
    match.condition the name of the condition that said no or failed

Compile once for each stored configuration and keep the result: compiling takes a millisecond,
matching microseconds. Expressions were checked when the configuration was written; one that does
not compile all the same (another version wrote it) counts as failed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sagong.api.cel.admission_types import admission_environment
from sagong.api.cel.environment import COST_MAX, Environment, Program
from sagong.api.cel.errors import CelError, CostExceeded, EvaluationError
from sagong.api.types import Obj
from sagong.server.admission.policies.inputs import Answering, inputs_of
from sagong.server.admission.policies.seen import Seen
from sagong.server.authz.interface import Authorizer

# What the conditions of one webhook or policy may cost together (upstream's
# RuntimeCELCostBudgetMatchConditions: a quarter of the budget of a policy).
BUDGET = 2_500_000
OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


@dataclass(frozen=True, slots=True)
class Match:
    """Whether the conditions hold; ``error``: they could not be told, and the policy is to fail."""

    matches: bool
    error: str = ""
    condition: str = ""


@dataclass(frozen=True, slots=True)
class _Condition:
    name: str
    program: Program | None
    problem: str  # why there is no program


class MatchConditions:
    """The compiled conditions of one webhook or policy."""

    def __init__(self, conditions: Sequence[_Condition]) -> None:
        self._conditions = tuple(conditions)

    def __bool__(self) -> bool:
        return bool(self._conditions)

    async def match(self, seen: Seen, authorizer: Authorizer, *, failure_policy: str) -> Match:
        """Whether all conditions hold for a write."""
        if not self._conditions:
            return Match(matches=True)
        answering = Answering(authorizer, seen.attributes.user)
        return await answering.settle(
            lambda: self.decide(inputs_of(seen, answering), failure_policy=failure_policy)
        )

    def decide(self, variables: Mapping[str, Any], *, failure_policy: str) -> Match:
        """As ``match``, with the variables given. One false condition outweighs any error."""
        failed: Match | None = None
        budget = BUDGET
        for condition in self._conditions:
            if condition.program is None:
                failed = failed or Match(False, condition.problem, condition.name)
                continue
            try:
                outcome = condition.program.run(variables, cost_max=min(budget, COST_MAX))
            except CostExceeded:
                message = OUT_OF_BUDGET if budget < COST_MAX else _said(condition, CostExceeded())
                failed = Match(False, message, condition.name)
                break
            except EvaluationError as error:
                failed = failed or Match(False, _said(condition, error), condition.name)
                continue
            budget -= outcome.cost
            if outcome.value is not True:
                return Match(False, "", condition.name)
        if failed is None:
            return Match(matches=True)
        return failed if failure_policy == "Fail" else Match(False, "", failed.condition)


def _said(condition: _Condition, error: CelError) -> str:
    text = condition.program.text if condition.program is not None else ""
    return f"expression '{text}' resulted in error: {error}"


def compile_conditions(
    conditions: Sequence[Obj], environment: Environment | None = None
) -> MatchConditions:
    """Compile ``matchConditions`` (objects with ``name`` and ``expression``); never raises."""
    env = environment or _webhook_environment()
    return MatchConditions([_compiled(condition, env) for condition in conditions])


@lru_cache(maxsize=1)
def _webhook_environment() -> Environment:
    return admission_environment()


def _compiled(condition: Obj, environment: Environment) -> _Condition:
    name = condition.get("name") or ""
    try:
        return _Condition(name, environment.compile(condition.get("expression") or ""), "")
    except CelError as error:
        return _Condition(name, None, f"compilation error: compilation failed: {error}")
