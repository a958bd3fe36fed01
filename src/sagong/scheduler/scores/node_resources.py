"""Least allocated (room left) and balanced allocation (cpu and memory used alike)."""

import numpy as np

from sagong.scheduler.columns import Ints, Mask
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Score
from sagong.scheduler.resources import CPU, MEMORY
from sagong.scheduler.state import SCORING


def _least_allocated(cycle: Cycle, feasible: Mask) -> Ints | None:
    columns = cycle.state.columns
    total = np.zeros(columns.size, np.int64)
    weights = np.zeros(columns.size, np.int64)
    for resource in (CPU, MEMORY):
        capacity = columns.allocatable(resource)
        used = columns.requested(SCORING[resource]) + cycle.pod.scoring_requests[resource]
        known = capacity > 0
        room = np.where(used > capacity, 0, (capacity - used) * SCORE_MAX)
        total += np.where(known, room // np.where(known, capacity, 1), 0)
        weights += known
    return total // np.maximum(weights, 1)


def _balanced(cycle: Cycle, feasible: Mask) -> Ints | None:
    """100 times one minus the deviation of the used fractions; upstream skips best-effort pods."""
    if not any(cycle.pod.requests.get(r) for r in (CPU, MEMORY)):
        return None
    columns = cycle.state.columns
    fractions = []
    for resource in (CPU, MEMORY):
        capacity = np.maximum(columns.allocatable(resource), 1)
        used = columns.requested(resource) + cycle.pod.requests.get(resource, 0)
        fractions.append(np.minimum(used / capacity, 1.0))
    # The standard deviation of two values is half their distance.
    deviation = np.abs(fractions[0] - fractions[1]) / 2
    scores: Ints = ((1 - deviation) * SCORE_MAX).astype(np.int64)
    return scores


LEAST_ALLOCATED = Score("NodeResourcesFit", 1, _least_allocated)
BALANCED_ALLOCATION = Score("NodeResourcesBalancedAllocation", 1, _balanced)
