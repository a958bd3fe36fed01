"""Which devices a container gets. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    """One resource on this node."""

    capacity: int
    allocatable: int  # healthy ones


class DeviceShortage(Exception):
    """Not enough healthy devices are free; the text is upstream's."""


def free_devices(healthy: Collection[str], taken: Collection[str]) -> Sequence[str]:
    return sorted(set(healthy) - set(taken))


def nearest_first(
    free: Sequence[str], near: Mapping[str, frozenset[int]], nodes: frozenset[int] | None
) -> Sequence[str]:
    """Devices at the wanted NUMA nodes, those of other nodes, and at last those of none."""
    if nodes is None:
        return free

    def rank(device: str) -> int:
        own = near.get(device)
        return 2 if not own else 0 if own & nodes else 1

    return sorted(free, key=rank)


def choose(
    resource: str,
    count: int,
    *,
    free: Sequence[str],
    reused: Sequence[str],
    preferred: Sequence[str] = (),
) -> Sequence[str]:
    """``count`` devices: those that an init container of the pod has had first, then what the
    plugin prefers, then any. Raises DeviceShortage."""
    if count > len(free) + len(reused):
        raise DeviceShortage(
            f"requested number of devices unavailable for {resource}. "
            f"Requested: {count}, Available: {len(free) + len(reused)}"
        )
    allowed = [device for device in preferred if device in free]
    order = dict.fromkeys((*sorted(reused), *allowed, *free))
    return list(order)[:count]
