"""Nodes where a pod's ResourceClaims have, or could be given, their devices."""

from collections.abc import Sequence

import numpy as np

from sagong.scheduler.columns import At
from sagong.scheduler.devices.selectors import SelectorFailed
from sagong.scheduler.plugin import Cycle, Filter, PodRefused, Refusal, Scope

NAME = "DynamicResources"
_ELSEWHERE = "resourceclaim not available on the node"
_NONE_LEFT = "cannot allocate all claims"


def _refuse(cycle: Cycle, at: At) -> Sequence[Refusal]:
    devices, columns = cycle.devices, cycle.state.columns
    if devices.concerns_nothing:
        return ()
    if devices.problem:
        raise PodRefused(devices.problem, plugin=NAME)
    reached = columns.valid[at].copy()
    for selector in devices.reach:
        if selector is not None:
            reached &= selector.mask(columns, at)
    refusals = [Refusal(_ELSEWHERE, ~reached, evictable=True)]
    if devices.waiting:
        slots = np.arange(columns.size)[at]
        lacking = np.zeros(len(slots), np.bool_)
        try:
            for place in np.flatnonzero(reached).tolist():
                facts = columns.facts(slots[place])
                lacking[place] = devices.choose(facts.name, facts.labels) is None
        except SelectorFailed as error:
            raise PodRefused(str(error), plugin=NAME) from error
        refusals.append(Refusal(_NONE_LEFT, lacking, evictable=True))
    return refusals


FILTER = Filter(NAME, Scope.CLUSTER, _refuse)
