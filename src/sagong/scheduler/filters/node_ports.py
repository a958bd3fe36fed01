"""Nodes where a host port that the pod wants is taken."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.plugin import Cycle, Filter, Refusal

_REASON = "node(s) didn't have free ports for the requested pod ports"


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    if not cycle.pod.host_ports:
        return ()
    refused = np.zeros(cycle.state.columns.size, np.bool_)
    for port in cycle.pod.host_ports:
        refused[cycle.state.ports.conflicting(port)] = True
    return [Refusal(_REASON, refused, evictable=True)]


FILTER = Filter("NodePorts", _refuse)
