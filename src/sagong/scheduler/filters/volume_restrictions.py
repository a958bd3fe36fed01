"""Disks that one node must not mount twice, and claims that only one pod may use."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At
from sagong.scheduler.plugin import Cycle, Filter, PodRefused, Refusal, Scope

NAME = "VolumeRestrictions"
_DISK = "node(s) had no available disk"
_CLAIM = (
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    disks, exclusive = cycle.template.disks, cycle.volumes.exclusive
    if not disks and not exclusive:
        return ()
    storage, columns = cycle.state.storage, cycle.state.columns
    if cycle.volumes.missing:
        raise PodRefused(cycle.volumes.missing, plugin=NAME)
    refused = np.zeros(columns.size, np.bool_)
    for disk in disks:
        refused[storage.nodes_in_conflict(disk)] = True
    refusals = [Refusal(_DISK, refused[at], evictable=True)]
    if any(storage.users(claim) for claim in exclusive):
        refusals.append(Refusal(_CLAIM, ~refused[at], evictable=True))
    return refusals


FILTER = Filter(NAME, Scope.CLUSTER, _refuse)
