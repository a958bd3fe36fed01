"""Prefer nodes near pods that attract each other and away from those that repel."""

import numpy as np

from sagong.api.types import Obj
from sagong.scheduler.columns import At, Ints, Mask
from sagong.scheduler.filters.inter_pod_affinity import NAME
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Scope, Score
from sagong.scheduler.terms import Term

# What an existing pod's *required* affinity is worth to a newcomer that it speaks of.
HARD_AFFINITY_WEIGHT = 1
_SIGNS = {"preferred": 1, "preferred-anti": -1}
_OTHERS = frozenset({"preferred", "preferred-anti", "required"})


def _own_preferences(cycle: Cycle, at: At, raw: Ints) -> bool:
    """Add what the pod itself prefers; False if that is nothing."""
    terms, columns = cycle.state.terms, cycle.state.columns
    found = False
    for kind, sign in _SIGNS.items():
        for term in terms.own(kind, cycle.template):
            counts = terms.counts(Term((terms.condition(term),)))
            if counts.total:
                codes = columns.label(term.topology_key).codes[at]
                raw += sign * term.weight * counts.sums(term.topology_key)[codes]
                found = True
    return found


def _others_preferences(cycle: Cycle, at: At, raw: Ints, hard_weight: int) -> bool:
    columns = cycle.state.columns
    concerning = cycle.state.terms.concerning(_OTHERS, cycle.pod)
    for term, sums in concerning:
        weight = _SIGNS.get(term.kind, 0) * term.weight or hard_weight
        if weight:
            raw += weight * sums[columns.label(term.topology_key).codes[at]]
    return bool(concerning)


def _raw(
    cycle: Cycle, at: At, feasible: Mask, hard_weight: int, ignore_others: bool
) -> Ints | None:
    raw = np.zeros(len(feasible), np.int64)
    affinity = cycle.template.affinity
    own = bool(affinity) and _own_preferences(cycle, at, raw)
    prefers = any(cycle.state.terms.own(kind, cycle.template) for kind in _SIGNS)
    others = False
    if prefers or not ignore_others:
        others = _others_preferences(cycle, at, raw, hard_weight)
    return raw if own or others else None


def _normalize(raw: Ints, feasible: Mask) -> Ints:
    scored = raw[feasible]
    low, high = int(scored.min(initial=0)), int(scored.max(initial=0))
    if len(scored):
        low, high = int(scored.min()), int(scored.max())
    if high == low:
        return np.zeros(len(raw), np.int64)
    # In floating point and truncated, as upstream does.
    scores: Ints = (SCORE_MAX * ((raw - low) / (high - low))).astype(np.int64)
    return scores


def score_of(arguments: Obj) -> Score:
    """From ``InterPodAffinityArgs``."""
    weight = arguments.get("hardPodAffinityWeight", HARD_AFFINITY_WEIGHT)
    ignore = bool(arguments.get("ignorePreferredTermsOfExistingPods"))
    return Score(
        NAME,
        Scope.CLUSTER,
        lambda cycle, at, feasible: _raw(cycle, at, feasible, weight, ignore),
        _normalize,
    )
