"""How many nodes of a zone may be emptied, given how many are silent. Pure.

When half a zone is gone at once, the network is the likelier cause than the nodes, and emptying
them would only move load onto what is left. Source of semantics: upstream's node lifecycle
controller (``ComputeZoneState``, ``handleDisruption``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from sagong.api.meta import condition, labels_of
from sagong.api.types import Obj

REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"
# The index from which zones are counted. Names of zones have a slash in them: none is called so.
READINESS = "readiness"
_READY, _NOT_READY = "ready", "not ready: "

# Upstream's --node-eviction-rate, --secondary-node-eviction-rate, --large-cluster-size-threshold
# and --unhealthy-zone-threshold.
EVICTIONS_PER_SECOND = 0.1
SECONDARY_EVICTIONS_PER_SECOND = 0.01
LARGE_ZONE_NODES = 50
UNHEALTHY_SHARE = 0.55

Count = Callable[[str], int]  # how many nodes have a value in that index


class Health(Enum):
    NORMAL = "normal"
    PARTIAL = "partial disruption"
    FULL = "full disruption"


@dataclass(frozen=True, slots=True)
class Zone:
    """Nodes of one zone."""

    nodes: int
    not_ready: int

    @property
    def health(self) -> Health:
        if self.not_ready and self.not_ready == self.nodes:
            return Health.FULL
        if self.not_ready > 2 and self.not_ready / self.nodes >= UNHEALTHY_SHARE:
            return Health.PARTIAL
        return Health.NORMAL


def zone_of(node: Obj) -> str:
    labels = labels_of(node)
    return f"{labels.get(REGION_LABEL, '')}/{labels.get(ZONE_LABEL, '')}"


def readiness(node: Obj) -> list[str]:
    """What a node counts as: the index of nodes from which zones are counted."""
    zone, ready = zone_of(node), condition(node, "Ready")
    if ready is not None and ready["status"] == "True":
        return [zone, _READY]
    return [zone, _NOT_READY, _NOT_READY + zone]


def zone_around(node: Obj, count: Count) -> Zone:
    """The zone of a node."""
    name = zone_of(node)
    return Zone(count(name), count(_NOT_READY + name))


def is_all_disrupted(count: Count) -> bool:
    """No node is ready anywhere: then it is most likely this side that is cut off."""
    return count(_NOT_READY) > 0 and not count(_READY)


def evictions_per_second(zone: Zone) -> float:
    """Nodes of the zone that may be emptied per second, when not all zones are disrupted."""
    if zone.health is not Health.PARTIAL:
        return EVICTIONS_PER_SECOND
    return SECONDARY_EVICTIONS_PER_SECOND if zone.nodes > LARGE_ZONE_NODES else 0.0
