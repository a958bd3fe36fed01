"""Prefer domains with fewer matching pods, by soft constraints or the cluster's defaults."""

import math

import numpy as np
import numpy.typing as npt

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Score
from sagong.scheduler.spread import (
    HOSTNAME,
    SYSTEM_DEFAULTS,
    Constraint,
    constraints_of,
    eligible,
    has_all_keys,
    matching_pods,
)
from sagong.scheduler.terms import domain_counts


def _raw(
    cycle: Cycle, constraint: Constraint, ranked: Mask, *, default: bool
) -> npt.NDArray[np.float64]:
    """How crowded each node's domain is, by one constraint; the weight grows with the domains."""
    columns = cycle.state.columns
    codes = columns.label(constraint.topology_key).codes
    if default:
        per_node = cycle.state.terms.owned_by(cycle.pod.owner_uid)
    else:
        per_node = matching_pods(cycle, constraint)
    if constraint.topology_key == HOSTNAME:
        size = int(ranked.sum())
        counts = per_node
    else:
        # A domain counts only if some feasible node is in it; absent labels are one more domain.
        size = len(np.unique(codes[ranked]))
        counts = domain_counts(codes, np.where(eligible(cycle, constraint), per_node, 0))
    weight = math.log(size + 2)
    crowding = counts.astype(np.float64) * weight + (constraint.max_skew - 1)
    return np.where(codes >= 0, crowding, 0.0)


def _score(cycle: Cycle, feasible: Mask) -> Ints | None:
    default = not cycle.pod.spec.get("topologySpreadConstraints")
    if default:
        constraints = list(SYSTEM_DEFAULTS) if cycle.pod.owner_uid else []
    else:
        constraints = constraints_of(cycle, "ScheduleAnyway")
    if not constraints:
        return None
    ranked = feasible if default else feasible & has_all_keys(cycle, constraints)
    total = np.zeros(len(feasible), np.float64)
    for constraint in constraints:
        total += _raw(cycle, constraint, ranked, default=default)
    raw: Ints = np.rint(total).astype(np.int64)
    if not ranked.any():
        return np.zeros(len(raw), np.int64)
    low, high = int(raw[ranked].min()), int(raw[ranked].max())
    if high == 0:
        return np.where(ranked, SCORE_MAX, 0)
    return np.where(ranked, SCORE_MAX * (high + low - raw) // high, 0)


SCORE = Score("PodTopologySpread", 2, _score)
