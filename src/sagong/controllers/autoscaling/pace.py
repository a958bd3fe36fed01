"""How fast a workload may follow what its metrics ask for: stabilisation, policies, limits. Pure.

Source of semantics: upstream's ``pkg/controller/podautoscaler/horizontal.go``. Times are monotonic
seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sagong.api.types import Obj

STABILIZATION_SECONDS = 300.0  # upstream's --horizontal-pod-autoscaler-downscale-stabilization
# Without a behaviour of its own, a workload at most doubles at a time, or grows to four.
_GROWTH_FACTOR = 2
_GROWTH_MIN = 4


@dataclass(frozen=True, slots=True)
class Moment:
    """A recommendation, or by how much a workload was scaled."""

    at: float
    replicas: int


@dataclass(slots=True)
class History:
    """What an autoscaler remembers; rebuilt from nothing after a restart."""

    recommendations: list[Moment] = field(default_factory=list)
    ups: list[Moment] = field(default_factory=list)
    downs: list[Moment] = field(default_factory=list)

    def scaled(self, change: int, now: float) -> None:
        (self.ups if change > 0 else self.downs).append(Moment(now, abs(change)))

    def forget(self, before: float) -> None:
        """Drop what no rule looks back to."""
        for moments in (self.recommendations, self.ups, self.downs):
            moments[:] = [m for m in moments if m.at >= before]


@dataclass(frozen=True, slots=True)
class Bounds:
    current: int
    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Why:
    """Reason and message of a condition."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Paced:
    replicas: int
    able: Why
    limited: Why | None  # None: within the range


_READY = Why("ReadyForNewScale", "recommended size matches current size")
_STABILIZED_DOWN = Why(
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent "
    "recommendation",
)
_STABILIZED_UP = Why(
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_TOO_MANY = Why(
    "TooManyReplicas", "the desired replica count is more than the maximum replica count"
)
_TOO_FEW = Why("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = Why(
    "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
)
_DOWN_LIMIT = Why(
    "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"
)


def pace(desired: int, bounds: Bounds, behavior: Obj | None, history: History, now: float) -> Paced:
    """What to scale to now. Records the recommendation."""
    if not history.recommendations:
        history.recommendations.append(Moment(now, bounds.current))
    stable, able = _stabilized(desired, bounds.current, behavior, history.recommendations, now)
    history.recommendations.append(Moment(now, desired))
    if behavior is None:
        return _within_limits(stable, bounds, able)
    return _within_rates(stable, bounds, behavior, history, able, now)


def _stabilized(
    desired: int, current: int, behavior: Obj | None, recent: Sequence[Moment], now: float
) -> tuple[int, Why]:
    if behavior is None:
        highest = max([desired, *_since(recent, now - STABILIZATION_SECONDS)])
        return highest, _READY if highest == desired else _STABILIZED_DOWN
    up_window = _window(behavior.get("scaleUp"), 0.0)
    down_window = _window(behavior.get("scaleDown"), STABILIZATION_SECONDS)
    lowest = min([desired, *_since(recent, now - up_window)])
    highest = max([desired, *_since(recent, now - down_window)])
    stable = min(max(current, lowest), highest)
    if stable == desired:
        return stable, _READY
    return stable, _STABILIZED_UP if desired >= current else _STABILIZED_DOWN


def _since(moments: Sequence[Moment], cutoff: float) -> list[int]:
    return [m.replicas for m in moments if m.at > cutoff]


def _window(rules: Obj | None, default: float) -> float:
    seconds = (rules or {}).get("stabilizationWindowSeconds")
    return default if seconds is None else float(seconds)


def _within_limits(desired: int, bounds: Bounds, able: Why) -> Paced:
    if desired < bounds.minimum:
        return Paced(bounds.minimum, able, _TOO_FEW)
    growth = max(_GROWTH_FACTOR * bounds.current, _GROWTH_MIN)
    maximum = min(bounds.maximum, growth)
    if desired > maximum:
        return Paced(maximum, able, _UP_LIMIT if bounds.maximum > growth else _TOO_MANY)
    return Paced(desired, able, None)


def _within_rates(
    desired: int, bounds: Bounds, behavior: Obj, history: History, able: Why, now: float
) -> Paced:
    if desired > bounds.current:
        rate = max(
            _up_limit(bounds.current, behavior.get("scaleUp") or {}, history, now), bounds.current
        )
        maximum = min(bounds.maximum, rate)
        if desired > maximum:
            return Paced(maximum, able, _UP_LIMIT if bounds.maximum > rate else _TOO_MANY)
    elif desired < bounds.current:
        rate = min(
            _down_limit(bounds.current, behavior.get("scaleDown") or {}, history, now),
            bounds.current,
        )
        minimum = max(bounds.minimum, rate)
        if desired < minimum:
            return Paced(minimum, able, _DOWN_LIMIT if bounds.minimum < rate else _TOO_FEW)
    return Paced(desired, able, None)


def _before(current: int, history: History, seconds: float, now: float) -> int:
    """How many replicas there were so many seconds ago, by what was done since."""
    cutoff = now - seconds
    return current - sum(_since(history.ups, cutoff)) + sum(_since(history.downs, cutoff))


def _up_limit(current: int, rules: Obj, history: History, now: float) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    proposals = []
    for policy in rules.get("policies") or ():
        start = _before(current, history, policy["periodSeconds"], now)
        if policy["type"] == "Pods":
            proposals.append(start + policy["value"])
        else:
            # Whole numbers: a float would round 1.1 * 10 up to 12.
            proposals.append(-(-start * (100 + policy["value"]) // 100))
    select = min if rules.get("selectPolicy") == "Min" else max
    return select(proposals, default=current)


def _down_limit(current: int, rules: Obj, history: History, now: float) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    proposals = []
    for policy in rules.get("policies") or ():
        start = _before(current, history, policy["periodSeconds"], now)
        if policy["type"] == "Pods":
            proposals.append(start - policy["value"])
        else:
            proposals.append(math.floor(start * (100 - policy["value"]) / 100))
    # Max is the largest change, which leaves the fewest.
    select = max if rules.get("selectPolicy") == "Min" else min
    return select(proposals, default=current)
