"""Nodes to which no more volumes of a CSI driver can be attached (CSINode's allocatable counts)."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope
from sagong.scheduler.state import attached

NAME = "NodeVolumeLimits"
_REASON = "node(s) exceed max volume count"


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    if not cycle.volumes.drivers:
        return ()
    columns, storage = cycle.state.columns, cycle.state.storage
    refused = np.zeros(columns.size, np.bool_)
    for driver, wanted in Counter(cycle.volumes.drivers.values()).items():
        more = np.full(columns.size, wanted, np.int64)
        for claim, name in cycle.volumes.drivers.items():
            if name == driver:
                # A volume that the node has already is not attached once more.
                more[list(storage.nodes_with(claim))] -= 1
        limits = columns.limit(driver)
        too_many = columns.requested(attached(driver)) + more > limits
        refused |= (limits >= 0) & (more > 0) & too_many
    return [Refusal(_REASON, refused[at], evictable=True)]


FILTER = Filter(NAME, Scope.CLUSTER, _refuse)
