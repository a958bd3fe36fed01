"""Nodes that the pod's nodeSelector or required node affinity do not admit."""

from collections.abc import Sequence

from sagong.scheduler.node_selectors import required_mask
from sagong.scheduler.plugin import Cycle, Filter, Refusal

_REASON = "node(s) didn't match Pod's node affinity/selector"


def _refuse(cycle: Cycle) -> Sequence[Refusal]:
    spec = cycle.pod.spec
    if not spec.get("nodeSelector") and not (spec.get("affinity") or {}).get("nodeAffinity"):
        return ()
    return [Refusal(_REASON, ~required_mask(cycle.state.columns, spec))]


FILTER = Filter("NodeAffinity", _refuse)
