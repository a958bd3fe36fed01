"""How much of a node is used, for the plugins NodeResourcesFit and BalancedAllocation.

Strategies are upstream's: LeastAllocated (room left), MostAllocated (packing),
RequestedToCapacityRatio (a curve over utilisation), and the balance between resources.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sagong.api.types import Obj
from sagong.scheduler.columns import At, Ints, Mask
from sagong.scheduler.filters.node_resources_fit import NAME
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Scope, Score
from sagong.scheduler.resources import is_scalar
from sagong.scheduler.state import SCORING

BALANCED = "NodeResourcesBalancedAllocation"
DEFAULT_RESOURCES: Sequence[Obj] = ({"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1})
# Points of a curve are given in 0..10.
CURVE_SCORE_MAX = 10


@dataclass(frozen=True, slots=True)
class Use:
    """One resource on the nodes asked about: what there is, what is used with the pod there."""

    capacity: Ints
    used: Ints
    weight: int


def _use(cycle: Cycle, at: At, resource: Obj, *, actual: bool) -> Use | None:
    """None for an extended resource that the pod does not request: it has no say."""
    name = resource["name"]
    columns, template = cycle.state.columns, cycle.template
    guessed = not actual and name in SCORING
    wanted = (template.scoring_requests if guessed else template.requests).get(name, 0)
    if not wanted and is_scalar(name):
        return None
    requested = columns.requested(SCORING[name] if guessed else name)[at]
    weight = resource.get("weight") or 1
    return Use(columns.allocatable(name)[at], requested + wanted, weight)


Strategy = Callable[[Use], Ints]


def _least(use: Use) -> Ints:
    room: Ints = np.maximum(use.capacity - use.used, 0) * SCORE_MAX
    return room // np.maximum(use.capacity, 1)


def _most(use: Use) -> Ints:
    used: Ints = np.minimum(use.used, use.capacity) * SCORE_MAX
    return used // np.maximum(use.capacity, 1)


def _weighted(cycle: Cycle, at: At, resources: Sequence[Obj], strategy: Strategy) -> Ints:
    """The weighted mean over the resources that a node has."""
    size = len(cycle.state.columns.valid[at])
    total, weights = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for resource in resources:
        use = _use(cycle, at, resource, actual=False)
        if use is not None:
            known = use.capacity > 0
            total += strategy(use) * known * use.weight
            weights += known * use.weight
    return total // np.maximum(weights, 1)


@dataclass(frozen=True, slots=True)
class Curve:
    """Scores over utilisation in percent, linear between points, in whole numbers."""

    points: Sequence[tuple[int, int]]

    def table(self) -> Ints:
        """The score of each utilisation 0..100. Division truncates towards zero, as Go's does."""
        return np.array([self._at(p) for p in range(101)], np.int64)

    def _at(self, utilization: int) -> int:
        before: tuple[int, int] | None = None
        for x, y in self.points:
            if utilization <= x:
                if before is None:
                    return y
                rise = (y - before[1]) * (utilization - before[0])
                return before[1] + int(rise / (x - before[0]))
            before = (x, y)
        return self.points[-1][1]


def _along(cycle: Cycle, at: At, resources: Sequence[Obj], table: Ints) -> Ints:
    """By a curve; a resource that scores 0 has no weight, and the mean is rounded."""
    size = len(cycle.state.columns.valid[at])
    total, weights = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for resource in resources:
        use = _use(cycle, at, resource, actual=False)
        if use is None:
            continue
        percent = np.where(
            use.used > use.capacity, 100, use.used * 100 // np.maximum(use.capacity, 1)
        )
        scores = table[percent] * (use.capacity > 0)
        total += scores * use.weight
        weights += (scores > 0) * use.weight
    mean = np.floor(total / np.maximum(weights, 1) + 0.5)
    rounded: Ints = mean.astype(np.int64)
    return rounded


def _balanced(cycle: Cycle, at: At, feasible: Mask, resources: Sequence[Obj]) -> Ints | None:
    """100 times one minus the deviation of the used fractions; best-effort pods are skipped."""
    if not any(cycle.template.requests.get(r["name"]) for r in resources):
        return None
    uses = [_use(cycle, at, r, actual=True) for r in resources]
    known = [use for use in uses if use is not None]
    if len(known) == 2 and all(use.capacity.min(initial=1) > 0 for use in known):
        # The usual case in short: the deviation of two values is half their distance.
        one, two = (np.minimum(use.used / use.capacity, 1.0) for use in known)
        short: Ints = ((1 - np.abs((one - two) / 2)) * SCORE_MAX).astype(np.int64)
        return short
    scores: Ints = ((1 - _deviation(known)) * SCORE_MAX).astype(np.int64)
    return scores


def _deviation(uses: Sequence[Use]) -> npt.NDArray[np.float64]:
    """The standard deviation of the used fractions, over the resources that a node has."""
    capacity = np.array([use.capacity for use in uses])
    there = capacity > 0
    fractions = np.array([use.used for use in uses]) / np.maximum(capacity, 1)
    fractions = np.where(there, np.minimum(fractions, 1.0), 0.0)
    count = there.sum(axis=0)
    mean = fractions.sum(axis=0) / np.maximum(count, 1)
    squares = np.where(there, (fractions - mean) ** 2, 0.0).sum(axis=0)
    several = np.sqrt(squares / np.maximum(count, 1))
    # Of two, half their distance: the same number, reached in the way that rounds as upstream's.
    two = np.abs(np.where(there, fractions, 0.0).max(axis=0) - _least_of(fractions, there)) / 2
    return np.where(count == 2, two, np.where(count > 2, several, 0.0))


def _least_of(
    fractions: npt.NDArray[np.float64], there: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.where(there, fractions, 2.0).min(axis=0)
    return found


def score_of(arguments: Obj) -> Score:
    """From ``NodeResourcesFitArgs``."""
    strategy = arguments.get("scoringStrategy") or {}
    resources = strategy.get("resources") or DEFAULT_RESOURCES
    kind = strategy.get("type") or "LeastAllocated"
    if kind == "RequestedToCapacityRatio":
        shape = (strategy.get("requestedToCapacityRatio") or {}).get("shape") or ()
        scale = SCORE_MAX // CURVE_SCORE_MAX
        table = Curve([(p["utilization"], p["score"] * scale) for p in shape]).table()
        return Score(NAME, Scope.PODS_HERE, lambda c, at, _: _along(c, at, resources, table))
    chosen = _most if kind == "MostAllocated" else _least
    return Score(NAME, Scope.PODS_HERE, lambda c, at, _: _weighted(c, at, resources, chosen))


def balanced_score_of(arguments: Obj) -> Score:
    """From ``NodeResourcesBalancedAllocationArgs``."""
    resources = arguments.get("resources") or DEFAULT_RESOURCES
    return Score(
        BALANCED, Scope.PODS_HERE, lambda c, at, feasible: _balanced(c, at, feasible, resources)
    )
