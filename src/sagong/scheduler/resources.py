"""What a pod requests and what a node offers, as integers in base units.

cpu counts in thousandths of a core, everything else in whole units (bytes, pieces). Semantics:
upstream's ``resourcehelper.PodRequests``: the larger of the containers' sum and the most that any
init container needs while it runs, sidecars counted from their start on, plus overhead; pod-level
resources take the place of the sum.
"""

from collections.abc import Iterable, Mapping

from sagong.api import quantities
from sagong.api.types import Obj

CPU, MEMORY, PODS = "cpu", "memory", "pods"
# What a container that requests nothing is taken to use when nodes are scored, not when they are
# filtered (upstream's DefaultMilliCPURequest and DefaultMemoryRequest).
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024


def amount(resource: str, quantity: str | int | float) -> int:
    """A quantity in the base unit of its resource, rounded up."""
    parsed = quantities.parse(quantity)
    return parsed.milli_value if resource == CPU else parsed.value


def amounts(quantities: Mapping[str, str | int | float]) -> dict[str, int]:
    return {resource: amount(resource, quantity) for resource, quantity in quantities.items()}


def _requests_of(container: Obj, *, defaults: bool) -> dict[str, int]:
    requests = amounts((container.get("resources") or {}).get("requests") or {})
    if defaults:
        requests.setdefault(CPU, DEFAULT_MILLI_CPU)
        requests.setdefault(MEMORY, DEFAULT_MEMORY)
    return requests


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for resource, value in more.items():
        total[resource] = total.get(resource, 0) + value


def _at_least(total: dict[str, int], floor: Mapping[str, int]) -> None:
    for resource, value in floor.items():
        total[resource] = max(total.get(resource, 0), value)


def _init_peak(containers: Iterable[Obj], *, defaults: bool) -> tuple[dict[str, int], ...]:
    """What sidecars need together, and the most needed at any moment of initialisation."""
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in containers:
        requests = _requests_of(container, defaults=defaults)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, requests)
            _at_least(peak, sidecars)
        else:
            moment = dict(sidecars)
            _add(moment, requests)
            _at_least(peak, moment)
    return sidecars, peak


def pod_requests(spec: Obj, *, defaults: bool = False) -> dict[str, int]:
    """A pod's requests; with ``defaults``, scoring's guess where a container says nothing."""
    sidecars, peak = _init_peak(spec.get("initContainers") or (), defaults=defaults)
    total: dict[str, int] = dict(sidecars)
    for container in spec.get("containers") or ():
        _add(total, _requests_of(container, defaults=defaults))
    _at_least(total, peak)
    pod_level = (spec.get("resources") or {}).get("requests")
    if pod_level:
        total |= amounts(pod_level)
    _add(total, amounts(spec.get("overhead") or {}))
    return total
