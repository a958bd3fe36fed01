"""How many nodes of a zone may be emptied, given how many are silent. Pure.

When half a zone is gone at once, the network is the likelier cause than the nodes, and emptying
them would only move load onto what is left. Source of semantics: upstream's node lifecycle
controller (``ComputeZoneState``, ``handleDisruption``).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from sagong.api.meta import condition, labels_of
from sagong.api.types import Obj

REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"

# Upstream's --node-eviction-rate, --secondary-node-eviction-rate, --large-cluster-size-threshold
# and --unhealthy-zone-threshold.
EVICTIONS_PER_SECOND = 0.1
SECONDARY_EVICTIONS_PER_SECOND = 0.01
LARGE_ZONE_NODES = 50
UNHEALTHY_SHARE = 0.55


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


def zones_of(nodes: Iterable[Obj]) -> dict[str, Zone]:
    """Zones by name."""
    found: dict[str, Zone] = {}
    for node in nodes:
        name = zone_of(node)
        zone = found.get(name, Zone(0, 0))
        ready = condition(node, "Ready")
        silent = ready is None or ready["status"] != "True"
        found[name] = Zone(zone.nodes + 1, zone.not_ready + silent)
    return found


def is_all_disrupted(zones: Mapping[str, Zone]) -> bool:
    """No node is ready anywhere: then it is most likely this side that is cut off."""
    return bool(zones) and all(zone.health is Health.FULL for zone in zones.values())


def evictions_per_second(zone: Zone) -> float:
    """Nodes of the zone that may be emptied per second, when not all zones are disrupted."""
    if zone.health is not Health.PARTIAL:
        return EVICTIONS_PER_SECOND
    return SECONDARY_EVICTIONS_PER_SECOND if zone.nodes > LARGE_ZONE_NODES else 0.0
