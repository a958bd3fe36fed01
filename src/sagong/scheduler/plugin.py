"""What filters and scores are: functions of a cycle, each one vector operation over nodes.

A plugin answers for the slots that it is asked about: all of them, or the few that changed since it
was asked last. Its scope says what its answer depends on, and so when it must be asked again.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from sagong.api.types import Obj
from sagong.scheduler.columns import At, Ints, Mask
from sagong.scheduler.devices.lookup import PodDevices
from sagong.scheduler.pod import PodFacts, Template
from sagong.scheduler.state import State
from sagong.scheduler.volumes import PodVolumes

SCORE_MAX = 100


class Scope(IntEnum):
    """What a plugin's answer about a node depends on, besides the pod's template."""

    NODES = 0  # what the nodes say of themselves
    PODS_HERE = 1  # and on the pods on this very node
    CLUSTER = 2  # and on anything else: asked at every decision


@dataclass(frozen=True, slots=True)
class Cycle:
    """One pod held against nodes. Nothing in it is changed by a plugin."""

    pod: PodFacts
    state: State
    volumes: PodVolumes = field(default_factory=PodVolumes)
    devices: PodDevices = field(default_factory=PodDevices)
    # Selects the pods of the same service or workload, for default spreading; None: there is none.
    default_selector: Obj | None = None
    # Masks that depend on the template and the nodes only: kept for as long as those do not change.
    masks: dict[Hashable, Mask] = field(default_factory=dict)

    @property
    def template(self) -> Template:
        return self.pod.template


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nodes that a filter refuses, and upstream's words for why."""

    reason: str
    mask: Mask  # over the slots that were asked about
    # Whether evicting pods from these nodes could help (upstream: Unschedulable, and not
    # UnschedulableAndUnresolvable).
    evictable: bool = False


class PodRefused(Exception):
    """The pod itself cannot be scheduled now, on whatever node; the message says why."""

    def __init__(self, reason: str, *, plugin: str, evictable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.plugin = plugin
        self.evictable = evictable


@dataclass(frozen=True, slots=True)
class Filter:
    """``refuse`` raises PodRefused, or says which nodes it refuses; several reasons may overlap."""

    name: str
    scope: Scope
    refuse: Callable[[Cycle, At], Sequence[Refusal]]


@dataclass(frozen=True, slots=True)
class Score:
    """``raw`` scores nodes, None where it has nothing to say; ``normalize`` makes that 0..100.

    Only scores of scope CLUSTER look at which nodes are feasible in ``raw``.
    """

    name: str
    scope: Scope
    raw: Callable[[Cycle, At, Mask], Ints | None]
    normalize: Callable[[Ints, Mask], Ints] | None = None
