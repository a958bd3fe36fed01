"""Nodes without room for the pod's requests; every lacking resource is named."""

from collections.abc import Sequence

from sagong.scheduler.plugin import Cycle, Filter, Refusal
from sagong.scheduler.resources import CPU, MEMORY, PODS

# Named in this order, then extended resources by name.
_ORDER = {PODS: 0, CPU: 1, MEMORY: 2, "ephemeral-storage": 3}


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    columns = cycle.state.columns
    refusals = []
    for resource in sorted(cycle.pod.requests, key=lambda r: (_ORDER.get(r, 4), r)):
        wanted = cycle.pod.requests[resource]
        if wanted == 0:
            continue
        allocatable = columns.allocatable(resource)
        lacking = columns.requested(resource) + wanted > allocatable
        if not lacking.any():
            continue
        reason = "Too many pods" if resource == PODS else f"Insufficient {resource}"
        # A pod that is larger than the whole node is not helped by evicting others.
        never = lacking & (allocatable < wanted)
        refusals.append(Refusal(reason, lacking & ~never, evictable=True))
        refusals.append(Refusal(reason, never))
    return refusals


FILTER = Filter("NodeResourcesFit", _refuse)
