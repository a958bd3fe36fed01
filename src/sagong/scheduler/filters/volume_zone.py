"""Nodes outside the zones that bound volumes carry as labels."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope

NAME = "VolumeZone"
_REASON = "node(s) had no available volume zone"


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    if not cycle.volumes.zones:
        return ()
    columns = cycle.state.columns
    refused = np.zeros(len(columns.valid[at]), np.bool_)
    # A node without any zone label is taken to be of a cluster without zones.
    zoned = refused.copy()
    for key in _ZONE_KEYS:
        zoned |= columns.label(key).codes[at] >= 0
    for key, values in cycle.volumes.zones:
        column = columns.label(key)
        table = np.array([v in values for v in column.values] + [False], np.bool_)
        refused |= ~table[column.codes[at]]
    return [Refusal(_REASON, refused & zoned)]


_ZONE_KEYS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)

FILTER = Filter(NAME, Scope.CLUSTER, _refuse)
