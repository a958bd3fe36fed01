"""Endpoints dealt out to zones by their CPUs: ``service.kubernetes.io/topology-mode: Auto``. Pure.

Semantics: upstream's ``endpointslice/topologycache``. Each zone gets endpoints in proportion to its
CPUs; its own first, what it lacks from zones that have more than their share. Where that would load
an endpoint by more than a fifth above the average, nobody is told anything.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.meta import annotations_of, condition, labels_of
from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.controllers.discovery.backends import ZONE_LABEL

MODE = "service.kubernetes.io/topology-mode"
HINTS = "service.kubernetes.io/topology-aware-hints"  # its earlier name
OVERLOAD = 0.2
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


def is_asked_for(service: Obj) -> bool:
    annotations = annotations_of(service)
    return any(annotations.get(name, "").lower() == "auto" for name in (MODE, HINTS))


def shares_of(nodes: Iterable[Obj]) -> Mapping[str, float] | None:
    """Each zone's part of all CPUs; None if they cannot be told."""
    milli: dict[str, int] = {}
    for node in nodes:
        labels = labels_of(node)
        if any(label in labels for label in _CONTROL_PLANE):
            continue
        ready = condition(node, "Ready")
        if ready is None or ready.get("status") != "True":
            continue
        zone = labels.get(ZONE_LABEL)
        cpu = ((node.get("status") or {}).get("allocatable") or {}).get("cpu")
        if not zone or not cpu:
            return None
        milli[zone] = milli.get(zone, 0) + parse(cpu).milli_value
    total = sum(milli.values())
    if len(milli) < 2 or not total:
        return None
    return {zone: amount / total for zone, amount in milli.items()}


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many endpoints a zone is to have."""

    least: int
    most: int
    wanted: float


def allocations(shares: Mapping[str, float], count: int) -> Mapping[str, Allocation] | None:
    """None if no deal of so many endpoints is fair enough."""
    if len(shares) > count:
        return None
    least = {z: math.ceil(share * count / (1 + OVERLOAD)) for z, share in shares.items()}
    spare = count - sum(least.values())
    if spare < 0:
        return None
    return {
        zone: Allocation(n, n + spare, max(shares[zone] * count, float(n)))
        for zone, n in least.items()
    }


def deal(
    endpoints: Sequence[tuple[str, str]], shares: Mapping[str, float] | None
) -> Mapping[str, str] | None:
    """The zone that each endpoint is for; ``endpoints`` are (identity, own zone) of ready ones.

    None: nobody is told anything.
    """
    if shares is None or any(zone not in shares for _, zone in endpoints):
        return None
    allowed = allocations(shares, len(endpoints))
    if allowed is None:
        return None
    dealt: dict[str, str] = {}
    counts = dict.fromkeys(allowed, 0)
    left: list[str] = []
    for identity, zone in endpoints:
        if counts[zone] < math.ceil(allowed[zone].wanted):
            dealt[identity] = zone
            counts[zone] += 1
        else:
            left.append(identity)
    for identity in left:
        zone = max(counts, key=lambda z: (allowed[z].wanted - counts[z], z))
        dealt[identity] = zone
        counts[zone] += 1
    _level(dealt, counts, allowed)
    fair = all(allowed[z].least <= n <= allowed[z].most for z, n in counts.items())
    return dealt if fair else None


def _level(
    dealt: dict[str, str], counts: dict[str, int], allowed: Mapping[str, Allocation]
) -> None:
    """Zones below their least take from those that are farthest above what they want."""
    for needy in sorted(counts):
        while counts[needy] < allowed[needy].least:
            givers = [z for z in counts if counts[z] > allowed[z].least]
            if not givers:
                return
            giver = max(givers, key=lambda z: (counts[z] - allowed[z].wanted, z))
            identity = next(i for i, zone in sorted(dealt.items()) if zone == giver)
            dealt[identity] = needy
            counts[giver] -= 1
            counts[needy] += 1
