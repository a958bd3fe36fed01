"""Nodes from which the pod's volumes cannot be reached, found or made."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.plugin import Cycle, Filter, PodRefused, Refusal
from sagong.scheduler.volumes import decide

NAME = "VolumeBinding"
_UNREACHABLE = "node(s) didn't match PersistentVolume's node affinity"
_UNAVAILABLE = "node(s) didn't find available persistent volumes to bind"


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    volumes, columns = cycle.volumes, cycle.state.columns
    if volumes.problem:
        raise PodRefused(volumes.problem, plugin=NAME)
    refusals = []
    reach = [selector for selector in volumes.bound if selector is not None]
    if reach:
        reachable = columns.valid.copy()
        for selector in reach:
            reachable &= selector.mask(columns)
        refusals.append(Refusal(_UNREACHABLE, ~reachable))
    if volumes.waiting:
        impossible = np.ones(columns.size, np.bool_)
        for slot, facts in columns.nodes():
            impossible[slot] = decide(volumes, facts.name, facts.labels) is None
        refusals.append(Refusal(_UNAVAILABLE, impossible))
    return refusals


FILTER = Filter(NAME, _refuse)
