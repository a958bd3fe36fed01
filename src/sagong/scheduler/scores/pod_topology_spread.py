"""Prefer domains with fewer matching pods, by soft constraints or the cluster's defaults."""

import math

import numpy as np
import numpy.typing as npt

from sagong.api.types import Obj
from sagong.scheduler.columns import At, Ints, Mask
from sagong.scheduler.filters.pod_topology_spread import NAME
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Scope, Score
from sagong.scheduler.spread import (
    HOSTNAME,
    Constraint,
    Defaults,
    Spread,
    defaults_of,
    domain_sums,
    has_all_keys,
    matching_pods,
    spread_of,
)

_IGNORED = -1  # of nodes that lack a topology key; they score 0


def _crowding(
    cycle: Cycle, spread: Spread, constraint: Constraint, at: At, ranked: Mask
) -> npt.NDArray[np.float64]:
    """How crowded each node's domain is, by one constraint; the weight grows with the domains."""
    codes = cycle.state.columns.label(constraint.topology_key).codes[at]
    pods = matching_pods(cycle, constraint)
    if constraint.topology_key == HOSTNAME:
        size = int(np.count_nonzero(ranked))
        counts = pods.nodes()[at]
    else:
        sums, _ = domain_sums(cycle, spread, constraint, pods)
        counts = sums[codes]
        # Only domains of ranked nodes count; nodes without the key are one more.
        present = np.zeros(len(sums), np.bool_)
        present[codes[ranked]] = True
        size = int(np.count_nonzero(present))
    weight = math.log(size + 2)
    crowding = counts.astype(np.float64) * weight + (constraint.max_skew - 1)
    return crowding if codes.min(initial=0) >= 0 else np.where(codes >= 0, crowding, 0.0)


def _raw(cycle: Cycle, at: At, feasible: Mask, defaults: Defaults) -> Ints | None:
    spread = spread_of(cycle, "ScheduleAnyway", defaults)
    if not spread.constraints:
        return None
    ranked = feasible
    if spread.all_keys:
        ranked = feasible & has_all_keys(cycle, spread.constraints)[at]
    total = np.zeros(len(feasible), np.float64)
    for constraint in spread.constraints:
        total += _crowding(cycle, spread, constraint, at, ranked)
    # Halves are rounded up, as Go does (nothing here is negative).
    rounded: Ints = np.floor(total + 0.5).astype(np.int64)
    return rounded if ranked is feasible else np.where(ranked, rounded, _IGNORED)


def _normalize(raw: Ints, feasible: Mask) -> Ints:
    ranked = feasible & (raw != _IGNORED)
    scored = raw[ranked]
    if not len(scored):
        return np.zeros(len(raw), np.int64)
    low, high = int(scored.min()), int(scored.max())
    if high == 0:
        return np.where(ranked, SCORE_MAX, 0)
    return np.where(ranked, SCORE_MAX * (high + low - raw) // high, 0)


def score_of(arguments: Obj) -> Score:
    """From ``PodTopologySpreadArgs``."""
    defaults = defaults_of(arguments)
    return Score(
        NAME,
        Scope.CLUSTER,
        lambda cycle, at, feasible: _raw(cycle, at, feasible, defaults),
        _normalize,
    )
