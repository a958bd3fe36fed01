"""Nodes on which the pod would make a hard spread constraint's skew too large."""

from collections.abc import Sequence

import numpy as np

from sagong.api.types import Obj
from sagong.scheduler.columns import At, Mask
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope
from sagong.scheduler.spread import (
    Constraint,
    Defaults,
    Spread,
    defaults_of,
    domain_sums,
    matches_itself,
    matching_pods,
    spread_of,
)

NAME = "PodTopologySpread"
_SKEWED = "node(s) didn't match pod topology spread constraints"
_NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


def _skewed(cycle: Cycle, spread: Spread, constraint: Constraint, at: At) -> Mask:
    """Nodes whose domain would exceed the emptiest domain by more than maxSkew."""
    codes = cycle.state.columns.label(constraint.topology_key).codes[at]
    pods = matching_pods(cycle, constraint)
    sums, domains = domain_sums(cycle, spread, constraint, pods)
    existing = sums[domains]
    if not len(existing):
        return np.zeros(len(codes), np.bool_)
    # Fewer domains than minDomains: the global minimum is taken to be 0.
    fewest = 0 if len(existing) < constraint.min_domains else int(existing.min())
    itself = 1 if matches_itself(cycle, constraint) else 0
    # Domains that do not count have no matching pods: their sums are 0.
    found: Mask = sums[codes] > constraint.max_skew + fewest - itself
    return found


def _refuse(cycle: Cycle, at: At, defaults: Defaults) -> Sequence[Refusal]:
    spread = spread_of(cycle, "DoNotSchedule", defaults)
    if not spread.constraints:
        return ()
    columns = cycle.state.columns
    refused = np.zeros(len(columns.valid[at]), np.bool_)
    refusals = []
    # The first constraint that a node does not meet says why.
    for constraint in spread.constraints:
        missing = (columns.label(constraint.topology_key).codes[at] < 0) & ~refused
        refused |= missing
        skewed = _skewed(cycle, spread, constraint, at) & ~refused
        refused |= skewed
        refusals.append(Refusal(_NO_LABEL, missing))
        refusals.append(Refusal(_SKEWED, skewed, evictable=True))
    return refusals


def filter_of(arguments: Obj) -> Filter:
    """From ``PodTopologySpreadArgs``."""
    defaults = defaults_of(arguments)
    return Filter(NAME, Scope.CLUSTER, lambda cycle, at: _refuse(cycle, at, defaults))
