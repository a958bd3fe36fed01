"""Prefer nodes by the weights of preferred node affinity terms."""

import numpy as np

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.node_selectors import node_term
from sagong.scheduler.plugin import Cycle, Score
from sagong.scheduler.scores.normalize import proportional


def _score(cycle: Cycle, feasible: Mask) -> Ints | None:
    preferred = (cycle.pod.affinity.get("nodeAffinity") or {}).get(
        "preferredDuringSchedulingIgnoredDuringExecution"
    )
    if not preferred:
        return None
    columns = cycle.state.columns
    raw = np.zeros(columns.size, np.int64)
    for entry in preferred:
        term = node_term(entry["preference"])
        # A preference without expressions matches every node.
        mask = columns.valid if term.is_empty else term.mask(columns)
        raw += np.where(mask, entry["weight"], 0)
    return proportional(raw, feasible)


SCORE = Score("NodeAffinity", 2, _score)
