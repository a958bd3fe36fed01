"""Nodes that the pod's nodeSelector or required node affinity do not admit."""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.scheduler.columns import At
from sagong.scheduler.node_selectors import (
    NodeSelector,
    is_selective,
    node_selector,
    required_mask,
    required_of,
)
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope
from sagong.scheduler.pod import Template

NAME = "NodeAffinity"
_REASON = "node(s) didn't match Pod's node affinity/selector"
_ENFORCED = "node(s) didn't match scheduler-enforced node affinity"
CONFLICT = "pod affinity terms conflict"


def only_nodes(template: Template) -> frozenset[str] | None:
    """The only nodes that a pod's required affinity can match, by their names; None: any."""
    required = required_of(template)
    return None if required is None else required.names()


def _refuse(cycle: Cycle, at: At, added: NodeSelector | None) -> Sequence[Refusal]:
    columns = cycle.state.columns
    refusals = []
    if added is not None:
        refusals.append(Refusal(_ENFORCED, ~added.mask(columns, at)))
    if is_selective(cycle.template):
        mask = ~required_mask(columns, cycle.template, at)
        for earlier in refusals:
            mask &= ~earlier.mask
        refusals.append(Refusal(_REASON, mask))
    return refusals


def filter_of(arguments: Obj) -> Filter:
    """From ``NodeAffinityArgs``, whose addedAffinity every pod of the profile must meet."""
    required = (arguments.get("addedAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    added = None if required is None else node_selector(required)
    return Filter(NAME, Scope.NODES, lambda cycle, at: _refuse(cycle, at, added))
