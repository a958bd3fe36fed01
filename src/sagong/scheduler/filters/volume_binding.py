"""Nodes from which the pod's volumes cannot be reached, found or made."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At, Mask
from sagong.scheduler.plugin import Cycle, Filter, PodRefused, Refusal, Scope
from sagong.scheduler.volumes import NO_SPACE, decide, shortage

NAME = "VolumeBinding"
_UNREACHABLE = "node(s) didn't match PersistentVolume's node affinity"
_UNAVAILABLE = "node(s) didn't find available persistent volumes to bind"


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    volumes, columns = cycle.volumes, cycle.state.columns
    if volumes.problem:
        raise PodRefused(volumes.problem, plugin=NAME)
    refusals = []
    reach = [selector for selector in volumes.bound if selector is not None]
    if reach:
        reachable = columns.valid.copy()
        for selector in reach:
            reachable &= selector.mask(columns)
        refusals.append(Refusal(_UNREACHABLE, ~reachable[at]))
    if volumes.waiting:
        impossible, full = _undecidable(cycle)
        refusals.append(Refusal(_UNAVAILABLE, impossible[at]))
        refusals.append(Refusal(NO_SPACE, full[at]))
    return refusals


def _undecidable(cycle: Cycle) -> tuple[Mask, Mask]:
    """Nodes where a waiting claim cannot be bound or made, and where there is no space for it."""
    columns = cycle.state.columns
    impossible, full = np.ones(columns.size, np.bool_), np.zeros(columns.size, np.bool_)
    for slot, facts in columns.nodes():
        decision = decide(cycle.volumes, facts.name, facts.labels)
        impossible[slot] = decision is None
        full[slot] = decision is not None and shortage(cycle.volumes, decision, facts.labels)
    return impossible, full


FILTER = Filter(NAME, Scope.CLUSTER, _refuse)
