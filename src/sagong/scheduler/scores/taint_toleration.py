"""Prefer nodes with fewer PreferNoSchedule taints that the pod does not tolerate."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import Ints, Mask, Taint
from sagong.scheduler.plugin import Cycle, Score
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.scores.normalize import proportional

_EFFECT = "PreferNoSchedule"


def _intolerable(pod: PodFacts, taints: Sequence[Taint]) -> int:
    tolerations = [t for t in pod.tolerations if t.effect in ("", _EFFECT)]
    return sum(
        taint.effect == _EFFECT
        and not any(t.tolerates(taint.key, taint.value, taint.effect) for t in tolerations)
        for taint in taints
    )


def _score(cycle: Cycle, feasible: Mask) -> Ints | None:
    columns = cycle.state.columns
    counts = np.array([_intolerable(cycle.pod, c) for c in columns.taint_classes], np.int64)
    return proportional(counts[columns.taint_class], feasible, reverse=True)


SCORE = Score("TaintToleration", 3, _score)
