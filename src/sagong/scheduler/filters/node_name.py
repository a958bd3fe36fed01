"""A pod that names its node in the spec fits only there."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.plugin import Cycle, Filter, Refusal


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    if not cycle.pod.node_name:
        return ()
    columns = cycle.state.columns
    refused = np.ones(columns.size, np.bool_)
    slot = columns.slot(cycle.pod.node_name)
    if slot is not None:
        refused[slot] = False
    return [Refusal("node(s) didn't match the requested node name", refused)]


FILTER = Filter("NodeName", _refuse)
