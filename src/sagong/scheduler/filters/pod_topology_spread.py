"""Nodes on which the pod would make a hard spread constraint's skew too large."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import Mask
from sagong.scheduler.plugin import Cycle, Filter, Refusal
from sagong.scheduler.spread import (
    Constraint,
    constraints_of,
    eligible,
    has_all_keys,
    matches_itself,
    matching_pods,
)

_SKEWED = "node(s) didn't match pod topology spread constraints"
_NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


def _skewed(cycle: Cycle, constraint: Constraint, counted: Mask) -> Mask:
    """Nodes whose domain would exceed the emptiest domain by more than maxSkew."""
    codes = cycle.state.columns.label(constraint.topology_key).codes
    counted = counted & eligible(cycle, constraint) & (codes >= 0)
    if not counted.any():
        return np.zeros(len(codes), np.bool_)
    pods = matching_pods(cycle, constraint)
    sums = np.bincount(codes[counted], weights=pods[counted])
    domains = np.unique(codes[counted])
    # Fewer domains than minDomains: the global minimum is taken to be 0.
    fewest = 0 if len(domains) < constraint.min_domains else int(sums[domains].min())
    itself = 1 if matches_itself(cycle, constraint, cycle.state.terms.selectors) else 0
    in_domain = np.zeros(len(codes), np.int64)
    known = (codes >= 0) & (codes < len(sums))
    in_domain[known] = sums[codes[known]].astype(np.int64)
    found: Mask = in_domain + itself - fewest > constraint.max_skew
    return found


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    constraints = constraints_of(cycle, "DoNotSchedule")
    if not constraints:
        return ()
    labelled = has_all_keys(cycle, constraints)
    skewed = np.zeros(len(labelled), np.bool_)
    for constraint in constraints:
        skewed |= _skewed(cycle, constraint, labelled)
    return [
        Refusal(_NO_LABEL, ~labelled),
        Refusal(_SKEWED, skewed & labelled, evictable=True),
    ]


FILTER = Filter("PodTopologySpread", _refuse)
