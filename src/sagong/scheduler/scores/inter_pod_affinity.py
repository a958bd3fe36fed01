"""Prefer nodes near pods that attract each other and away from those that repel."""

import numpy as np

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.filters.inter_pod_affinity import term_counts
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Score
from sagong.scheduler.terms import domain_counts, preferred_terms

# What an existing pod's *required* affinity is worth to a newcomer that it speaks of.
HARD_AFFINITY_WEIGHT = 1
_SIGNS = {"preferred": 1, "preferred-anti": -1}


def _own_preferences(cycle: Cycle) -> Ints:
    raw = np.zeros(cycle.state.columns.size, np.int64)
    for side, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for term in preferred_terms(cycle.pod, side):
            raw += sign * term.weight * term_counts(cycle, term)
    return raw


def _others_preferences(cycle: Cycle) -> Ints:
    columns = cycle.state.columns
    raw = np.zeros(columns.size, np.int64)
    kinds = frozenset({"preferred", "preferred-anti", "required"})
    for term, owners in cycle.state.terms.owned_terms(kinds, cycle.pod):
        weight = _SIGNS.get(term.kind, 0) * term.weight or HARD_AFFINITY_WEIGHT
        raw += weight * domain_counts(columns.label(term.topology_key).codes, owners)
    return raw


def _score(cycle: Cycle, feasible: Mask) -> Ints | None:
    raw = _own_preferences(cycle) + _others_preferences(cycle)
    if not raw.any():
        return None
    low, high = int(raw[feasible].min()), int(raw[feasible].max())
    if high == low:
        return np.zeros(len(raw), np.int64)
    # In floating point and truncated, as upstream does.
    scores: Ints = (SCORE_MAX * ((raw - low) / (high - low))).astype(np.int64)
    return scores


SCORE = Score("InterPodAffinity", 2, _score)
