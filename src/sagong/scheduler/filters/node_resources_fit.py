"""Nodes without room for the pod's requests; every lacking resource is named."""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.scheduler.columns import At
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope
from sagong.scheduler.resources import CPU, MEMORY, PODS, STORAGE, is_extended

NAME = "NodeResourcesFit"
# Named in this order, then extended resources by name.
_ORDER = {PODS: 0, CPU: 1, MEMORY: 2, STORAGE: 3}


def reason_of(resource: str) -> str:
    """Upstream's words for a lack."""
    return "Too many pods" if resource == PODS else f"Insufficient {resource}"


def _refuse(
    cycle: Cycle, at: At, ignored: frozenset[str], ignored_groups: frozenset[str]
) -> Sequence[Refusal]:
    columns = cycle.state.columns
    requests = cycle.template.requests
    lacks = []
    hopeless = None
    for resource, wanted in requests.items():
        if not wanted or (ignored and resource in ignored):
            continue
        if ignored_groups and is_extended(resource) and resource.split("/")[0] in ignored_groups:
            continue
        allocatable = columns.allocatable(resource)[at]
        lacking = columns.requested(resource)[at] > allocatable - wanted
        if not lacking.any():
            continue
        lacks.append((_ORDER.get(resource, 4), resource, reason_of(resource), lacking))
        if resource != PODS:
            # A pod that is larger than the whole node is not helped by evicting others.
            never = lacking & (allocatable < wanted)
            if never.any():
                hopeless = never if hopeless is None else hopeless | never
    lacks.sort(key=lambda lack: lack[:2])
    refusals = []
    for _, _, reason, lacking in lacks:
        if hopeless is None:
            refusals.append(Refusal(reason, lacking, evictable=True))
            continue
        refusals.append(Refusal(reason, lacking & ~hopeless, evictable=True))
        refusals.append(Refusal(reason, lacking & hopeless))
    return refusals


def filter_of(arguments: Obj) -> Filter:
    """From ``NodeResourcesFitArgs``."""
    ignored = frozenset(arguments.get("ignoredResources") or ())
    groups = frozenset(arguments.get("ignoredResourceGroups") or ())
    return Filter(NAME, Scope.PODS_HERE, lambda cycle, at: _refuse(cycle, at, ignored, groups))
