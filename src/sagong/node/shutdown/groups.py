"""Which pods end together when the machine goes down, and how long they have. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sagong.api.types import Obj
from sagong.node.pods.admission import CRITICAL_PRIORITY

DEFAULT_PRIORITY = 0


@dataclass(frozen=True, slots=True)
class Period:
    """Pods of this priority and above, up to the next period's, have so many seconds."""

    priority: int
    seconds: int


@dataclass(frozen=True, slots=True)
class ShutdownSettings:
    """Upstream's: either two sums or a period for each range of priorities. None: no waiting."""

    grace_seconds: int = 0  # shutdownGracePeriod
    critical_seconds: int = 0  # shutdownGracePeriodCriticalPods, the end of grace_seconds
    by_priority: Sequence[Period] = ()  # shutdownGracePeriodByPodPriority

    @property
    def periods(self) -> Sequence[Period]:
        """By rising priority, in which order they pass."""
        if self.by_priority:
            return sorted(self.by_priority, key=lambda period: period.priority)
        if not self.grace_seconds:
            return ()
        return (
            Period(DEFAULT_PRIORITY, self.grace_seconds - self.critical_seconds),
            Period(CRITICAL_PRIORITY, self.critical_seconds),
        )

    @property
    def total_seconds(self) -> int:
        return sum(period.seconds for period in self.periods)

    @property
    def problem(self) -> str:
        """What is wrong with the settings, or ""."""
        if min(self.grace_seconds, self.critical_seconds) < 0:
            return "shutdownGracePeriod must be either zero or otherwise >= 1 sec"
        if self.critical_seconds > self.grace_seconds:
            return (
                f"shutdownGracePeriodCriticalPods {self.critical_seconds}s must be <= "
                f"shutdownGracePeriod {self.grace_seconds}s"
            )
        if self.by_priority and self.grace_seconds:
            return (
                "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at "
                "the same time"
            )
        return ""


@dataclass(frozen=True, slots=True)
class Group:
    """Pods that end together, by uid, each with the seconds that it has itself."""

    period: Period
    graces: Mapping[str, int]


def groups_of(periods: Sequence[Period], pods: Sequence[Obj]) -> Sequence[Group]:
    """In the order in which they end; those without pods are left out, and not waited for."""
    found: list[dict[str, int]] = [{} for _ in periods]
    for pod in pods:
        priority = int(pod["spec"].get("priority") or DEFAULT_PRIORITY)
        reached = [i for i, period in enumerate(periods) if period.priority <= priority]
        place = reached[-1] if reached else 0
        own = pod["spec"].get("terminationGracePeriodSeconds")
        seconds = periods[place].seconds
        grace = seconds if own is None else min(int(own), seconds)
        found[place][str(pod["metadata"]["uid"])] = grace
    return [Group(period, graces) for period, graces in zip(periods, found, strict=True) if graces]
