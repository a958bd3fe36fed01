"""Cordoned nodes take only pods that tolerate it."""

from collections.abc import Sequence

from sagong.scheduler.plugin import Cycle, Filter, Refusal

_TAINT = "node.kubernetes.io/unschedulable"


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    if any(t.tolerates(_TAINT, "", "NoSchedule") for t in cycle.pod.tolerations):
        return ()
    return [Refusal("node(s) were unschedulable", cycle.state.columns.unschedulable)]


FILTER = Filter("NodeUnschedulable", _refuse)
