"""Nodes whose NoSchedule and NoExecute taints the pod does not tolerate."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At, Taint
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope
from sagong.scheduler.pod import Template

_EFFECTS = ("NoSchedule", "NoExecute")


def intolerable(template: Template, taints: Sequence[Taint]) -> bool:
    """Whether some taint keeps the pod off a node."""
    return any(
        taint.effect in _EFFECTS
        and not any(t.tolerates(taint.key, taint.value, taint.effect) for t in template.tolerations)
        for taint in taints
    )


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    columns = cycle.state.columns
    intolerables = [intolerable(cycle.template, taints) for taints in columns.taint_classes]
    if not any(intolerables):
        return ()
    answers = np.array(intolerables, np.bool_)
    return [Refusal("node(s) had untolerated taint(s)", answers[columns.taint_class[at]])]


FILTER = Filter("TaintToleration", Scope.NODES, _refuse)
