"""Checks of plugins' arguments in a configuration (upstream's ``validation_pluginargs``)."""

from collections.abc import Callable, Mapping, Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.scheduler.config_errors import (
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from sagong.scheduler.scores.node_resources import CURVE_SCORE_MAX

WEIGHT_MAX = 100
STRATEGIES = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
_WHEN = ("DoNotSchedule", "ScheduleAnyway")
_OPERATORS = ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")

Check = Callable[[str, Obj], list[str]]


def _in_range(path: str, value: object, low: int, high: int) -> list[str]:
    if isinstance(value, int) and low <= value <= high:
        return []
    return [invalid(path, value, f"not in valid range [{low}-{high}]")]


def _preemption(path: str, arguments: Obj) -> list[str]:
    percent = arguments.get("minCandidateNodesPercentage", 10)
    least = arguments.get("minCandidateNodesAbsolute", 100)
    problems = _in_range(f"{path}.minCandidateNodesPercentage", percent, 0, 100)
    if least < 0:
        why = "not in valid range [0-inf)"
        problems.append(invalid(f"{path}.minCandidateNodesAbsolute", least, why))
    if percent == 0 and least == 0:
        one, other = "minCandidateNodesPercentage", "minCandidateNodesAbsolute"
        problems.append(invalid(f"{path}.{one}", 0, f"cannot be zero at the same time as {other}"))
        problems.append(invalid(f"{path}.{other}", 0, f"cannot be zero at the same time as {one}"))
    return problems


def _inter_pod_affinity(path: str, arguments: Obj) -> list[str]:
    weight = arguments.get("hardPodAffinityWeight", 1)
    return _in_range(f"{path}.hardPodAffinityWeight", weight, 0, 100)


def _node_affinity(path: str, arguments: Obj) -> list[str]:
    added = arguments.get("addedAffinity")
    if added is None:
        return []
    required_, preferred = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    )
    path = f"{path}.addedAffinity"
    problems = []
    selector = added.get(required_)
    if selector is not None:
        where = f"{path}.{required_}.nodeSelectorTerms"
        terms = selector.get("nodeSelectorTerms") or ()
        if not terms:
            problems.append(required(where, "must have at least one node selector term"))
        for index, term in enumerate(terms):
            problems += _node_term(f"{where}[{index}]", term)
    for index, entry in enumerate(added.get(preferred) or ()):
        where = f"{path}.{preferred}[{index}]"
        if not 1 <= entry.get("weight", 0) <= WEIGHT_MAX:
            problems.append(
                invalid(f"{where}.weight", entry.get("weight", 0), "must be in the range 1-100")
            )
        problems += _node_term(f"{where}.preference", entry.get("preference") or {})
    return problems


def _node_term(path: str, term: Obj) -> list[str]:
    return [
        not_supported(f"{path}.{part}[{i}].operator", e.get("operator", ""), _OPERATORS)
        for part in ("matchExpressions", "matchFields")
        for i, e in enumerate(term.get(part) or ())
        if e.get("operator") not in _OPERATORS
    ]


def _fit(path: str, arguments: Obj) -> list[str]:
    problems = []
    for index, resource in enumerate(arguments.get("ignoredResources") or ()):
        where = f"{path}.ignoredResources[{index}]"
        problems += [invalid(where, resource, why) for why in names.qualified_name(resource)]
    for index, group in enumerate(arguments.get("ignoredResourceGroups") or ()):
        where = f"{path}.ignoredResourceGroups[{index}]"
        if "/" in group:
            problems.append(invalid(where, group, "resource group name can't contain '/'"))
        else:
            problems += [invalid(where, group, why) for why in names.qualified_name(group)]
    strategy = arguments.get("scoringStrategy")
    if strategy is not None:
        problems += _strategy(f"{path}.scoringStrategy", strategy)
    return problems


def _strategy(path: str, strategy: Obj) -> list[str]:
    problems = _resources(f"{path}.resources", strategy.get("resources") or ())
    kind = strategy.get("type", "LeastAllocated")
    if kind not in STRATEGIES:
        problems.append(not_supported(f"{path}.type", kind, STRATEGIES))
    if kind == "RequestedToCapacityRatio":
        ratio = strategy.get("requestedToCapacityRatio") or {}
        where = f"{path}.requestedToCapacityRatio.shape"
        problems += _shape(where, ratio.get("shape") or ())
    return problems


def _resources(path: str, resources: Sequence[Obj]) -> list[str]:
    problems = []
    for index, resource in enumerate(resources):
        weight = resource.get("weight", 1)
        if not 0 < weight <= WEIGHT_MAX:
            why = f"resource weight of {resource.get('name', '')} not in valid range (0, 100]"
            problems.append(invalid(f"{path}[{index}].weight", weight, why))
    return problems


def _shape(path: str, shape: Sequence[Obj]) -> list[str]:
    if not shape:
        return [required(path, "at least one point must be specified")]
    problems = []
    points = [(p.get("utilization", 0), p.get("score", 0)) for p in shape]
    for index, (utilization, score) in enumerate(points):
        where = f"{path}[{index}]"
        problems += _in_range(f"{where}.utilization", utilization, 0, 100)
        if index and points[index - 1][0] >= utilization:
            why = "values must be sorted in increasing order"
            problems.append(invalid(f"{where}.utilization", utilization, why))
        problems += _in_range(f"{where}.score", score, 0, CURVE_SCORE_MAX)
    return problems


def _balanced(path: str, arguments: Obj) -> list[str]:
    problems = []
    seen = set()
    for index, resource in enumerate(arguments.get("resources") or ()):
        where, name = f"{path}.resources[{index}]", resource.get("name", "")
        if resource.get("weight", 1) != 1:
            problems.append(invalid(f"{where}.weight", resource["weight"], "must be 1"))
        if name in seen:
            problems.append(duplicate(f"{where}.name", name))
        seen.add(name)
    return problems


def _spread(path: str, arguments: Obj) -> list[str]:
    problems = []
    entries = arguments.get("defaultConstraints") or ()
    kind = arguments.get("defaultingType", "System")
    if kind not in ("System", "List"):
        problems.append(not_supported(f"{path}.defaultingType", kind, ("System", "List")))
    elif kind == "System" and entries:
        why = "when .defaultConstraints are not empty"
        problems.append(invalid(f"{path}.defaultingType", kind, why))
    seen: set[tuple[str, str]] = set()
    for index, entry in enumerate(entries):
        problems += _default_constraint(f"{path}.defaultConstraints[{index}]", entry)
        both = (entry.get("topologyKey", ""), entry.get("whenUnsatisfiable", ""))
        if both in seen:
            where = f"{path}.defaultConstraints[{index}]"
            problems.append(duplicate(where, f"{{{both[0]}, {both[1]}}}"))
        seen.add(both)
    return problems


def _default_constraint(path: str, entry: Obj) -> list[str]:
    problems = []
    if entry.get("maxSkew", 0) <= 0:
        why = "must be greater than zero"
        problems.append(invalid(f"{path}.maxSkew", entry.get("maxSkew", 0), why))
    key, when = entry.get("topologyKey", ""), entry.get("whenUnsatisfiable", "")
    if not key:
        problems.append(required(f"{path}.topologyKey", "can not be empty"))
    else:
        where = f"{path}.topologyKey"
        problems += [invalid(where, key, why) for why in names.qualified_name(key)]
    if not when:
        problems.append(required(f"{path}.whenUnsatisfiable", "can not be empty"))
    elif when not in _WHEN:
        problems.append(not_supported(f"{path}.whenUnsatisfiable", when, _WHEN))
    if entry.get("labelSelector") is not None:
        why = "constraint must not define a selector, as they deduced for each pod"
        problems.append(forbidden(f"{path}.labelSelector", why))
    return problems


def _volume_binding(path: str, arguments: Obj) -> list[str]:
    seconds = arguments.get("bindTimeoutSeconds", 600)
    if seconds >= 0:
        return []
    why = "invalid BindTimeoutSeconds, should not be a negative value"
    return [invalid(f"{path}.bindTimeoutSeconds", seconds, why)]


ARGUMENT_CHECKS: Mapping[str, Check] = {
    "DefaultPreemption": _preemption,
    "InterPodAffinity": _inter_pod_affinity,
    "NodeAffinity": _node_affinity,
    "NodeResourcesFit": _fit,
    "NodeResourcesBalancedAllocation": _balanced,
    "PodTopologySpread": _spread,
    "VolumeBinding": _volume_binding,
}
