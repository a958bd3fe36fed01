"""Host ports that pods on the node have already."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope

_REASON = "node(s) didn't have free ports for the requested pod ports"


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    if not cycle.template.host_ports:
        return ()
    refused = np.zeros(cycle.state.columns.size, np.bool_)
    for port in cycle.template.host_ports:
        refused[cycle.state.ports.conflicting(port)] = True
    return [Refusal(_REASON, refused[at], evictable=True)]


FILTER = Filter("NodePorts", Scope.PODS_HERE, _refuse)
