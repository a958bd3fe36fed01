"""Prefer nodes with fewer PreferNoSchedule taints that the pod does not tolerate."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At, Ints, Mask, Taint
from sagong.scheduler.plugin import Cycle, Scope, Score
from sagong.scheduler.pod import Template
from sagong.scheduler.scores.normalize import proportional

_EFFECT = "PreferNoSchedule"


def _intolerable(template: Template, taints: Sequence[Taint]) -> int:
    tolerations = [t for t in template.tolerations if t.effect in ("", _EFFECT)]
    return sum(
        taint.effect == _EFFECT
        and not any(t.tolerates(taint.key, taint.value, taint.effect) for t in tolerations)
        for taint in taints
    )


def _raw(cycle: Cycle, at: At, feasible: Mask) -> Ints | None:
    columns = cycle.state.columns
    counts = np.array([_intolerable(cycle.template, c) for c in columns.taint_classes], np.int64)
    return counts[columns.taint_class[at]]


def _normalize(raw: Ints, feasible: Mask) -> Ints:
    return proportional(raw, feasible, reverse=True)


SCORE = Score("TaintToleration", Scope.NODES, _raw, _normalize)
