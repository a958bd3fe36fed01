"""A pod that names its node in the spec fits only there."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    if not cycle.pod.node_name:
        return ()
    columns = cycle.state.columns
    refused = np.ones(columns.size, np.bool_)
    slot = columns.slot(cycle.pod.node_name)
    if slot is not None:
        refused[slot] = False
    return [Refusal("node(s) didn't match the requested node name", refused[at])]


# Of scope CLUSTER, as the name is no part of the template; it costs nothing where there is none.
FILTER = Filter("NodeName", Scope.CLUSTER, _refuse)
