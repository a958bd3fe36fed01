"""What filters and scores are: functions of a cycle, each one vector operation over all nodes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.state import State
from sagong.scheduler.volumes import PodVolumes

SCORE_MAX = 100


@dataclass(frozen=True, slots=True)
class Cycle:
    """One pod held against all nodes. Nothing in it is changed by a plugin."""

    pod: PodFacts
    state: State
    volumes: PodVolumes


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nodes that a filter refuses, and upstream's words for why."""

    reason: str
    mask: Mask
    # Whether evicting pods from these nodes could help (upstream: Unschedulable, and not
    # UnschedulableAndUnresolvable).
    evictable: bool = False


class PodRefused(Exception):
    """The pod itself cannot be scheduled now, on whatever node; the message says why."""

    def __init__(self, reason: str, *, plugin: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.plugin = plugin


@dataclass(frozen=True, slots=True)
class Filter:
    """``refuse`` raises PodRefused, or says which nodes it refuses; several reasons may overlap."""

    name: str
    refuse: Callable[[Cycle], Sequence[Refusal]]


@dataclass(frozen=True, slots=True)
class Score:
    """``score`` gives 0..100 for each feasible node, None where it has nothing to say."""

    name: str
    weight: int
    score: Callable[[Cycle, Mask], Ints | None]
