"""Cordoned nodes take only pods that tolerate it."""

from collections.abc import Sequence

from sagong.scheduler.columns import At
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope

_TAINT = "node.kubernetes.io/unschedulable"


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    if any(t.tolerates(_TAINT, "", "NoSchedule") for t in cycle.template.tolerations):
        return ()
    return [Refusal("node(s) were unschedulable", cycle.state.columns.unschedulable[at])]


FILTER = Filter("NodeUnschedulable", Scope.NODES, _refuse)
