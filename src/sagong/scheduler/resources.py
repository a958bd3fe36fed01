"""What a pod requests and what a node offers, as integers in base units.

cpu counts in thousandths of a core, everything else in whole units (bytes, pieces). Semantics:
upstream's ``resourcehelper.PodRequests``: the larger of the containers' sum and the most that any
init container needs while it runs, sidecars counted from their start on, plus overhead; pod-level
resources take the place of the sum. While a container is resized in place, the largest of what is
wanted, allocated and in force counts.
"""

from collections.abc import Iterable, Mapping

from sagong.api import quantities
from sagong.api.types import Obj

CPU, MEMORY, PODS, STORAGE = "cpu", "memory", "pods", "ephemeral-storage"
# What a container that requests nothing is taken to use when nodes are scored, not when they are
# filtered (upstream's DefaultMilliCPURequest and DefaultMemoryRequest).
DEFAULT_MILLI_CPU = 100
DEFAULT_MEMORY = 200 * 1024 * 1024
_HUGE_PAGES = "hugepages-"


def amount(resource: str, quantity: str | int | float) -> int:
    """A quantity in the base unit of its resource, rounded up."""
    parsed = quantities.parse(quantity)
    return parsed.milli_value if resource == CPU else parsed.value


def amounts(quantities: Mapping[str, str | int | float]) -> dict[str, int]:
    return {resource: amount(resource, quantity) for resource, quantity in quantities.items()}


def is_extended(resource: str) -> bool:
    """Whether a resource is one that only device plugins and administrators know of."""
    return "/" in resource and "kubernetes.io/" not in resource


def is_scalar(resource: str) -> bool:
    """Whether a resource is none of the three that every node has."""
    return resource not in (CPU, MEMORY, STORAGE)


class _Containers:
    """A pod's containers with what each counts for."""

    def __init__(self, spec: Obj, resized: Mapping[str, Mapping[str, int]], *, defaults: bool):
        self.resized = resized
        self.defaults = defaults
        self.spec = spec

    def requests_of(self, container: Obj) -> dict[str, int]:
        requests = amounts((container.get("resources") or {}).get("requests") or {})
        # An infeasible resize has taken the wish out already (see ``resizes_of``).
        resized = self.resized.get(container["name"]) if self.resized else None
        if resized is not None:
            infeasible = "" in resized
            requests = {} if infeasible else requests
            _at_least(requests, {k: v for k, v in resized.items() if k})
        if self.defaults:
            requests.setdefault(CPU, DEFAULT_MILLI_CPU)
            requests.setdefault(MEMORY, DEFAULT_MEMORY)
        return requests

    def init_peak(self) -> tuple[dict[str, int], dict[str, int]]:
        """What sidecars need together, and the most needed at any moment of initialisation."""
        sidecars: dict[str, int] = {}
        peak: dict[str, int] = {}
        for container in self.spec.get("initContainers") or ():
            requests = self.requests_of(container)
            if container.get("restartPolicy") == "Always":
                _add(sidecars, requests)
                _at_least(peak, sidecars)
            else:
                moment = dict(sidecars)
                _add(moment, requests)
                _at_least(peak, moment)
        return sidecars, peak


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for resource, value in more.items():
        total[resource] = total.get(resource, 0) + value


def _at_least(total: dict[str, int], floor: Mapping[str, int]) -> None:
    for resource, value in floor.items():
        total[resource] = max(total.get(resource, 0), value)


def _at_pod_level(requests: Mapping[str, str]) -> dict[str, int]:
    """Of pod-level resources those that may be given there."""
    supported = {
        r: q for r, q in requests.items() if r in (CPU, MEMORY) or r.startswith(_HUGE_PAGES)
    }
    return amounts(supported)


def pod_requests(
    spec: Obj,
    *,
    defaults: bool = False,
    resized: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, int]:
    """A pod's requests; with ``defaults``, scoring's guess where a container says nothing.

    ``resized`` is what ``resizes_of`` says of a pod that is on a node.
    """
    containers = _Containers(spec, resized or {}, defaults=defaults)
    sidecars, peak = containers.init_peak()
    total: dict[str, int] = dict(sidecars)
    for container in spec.get("containers") or ():
        _add(total, containers.requests_of(container))
    _at_least(total, peak)
    pod_level = (spec.get("resources") or {}).get("requests")
    if pod_level:
        total |= _at_pod_level(pod_level)
        _at_least(total, (resized or {}).get("", {}))
    _add(total, amounts(spec.get("overhead") or {}))
    return total


def resizes_of(pod: Obj) -> dict[str, dict[str, int]]:
    """Of containers whose status differs from their spec, the larger of allocated and actual.

    By name; the pod's own under "". A container of a pod whose resize is infeasible has an entry
    "" of its own: what it wishes for does not count then. Empty for nearly every pod.
    """
    status = pod.get("status") or {}
    spec = pod["spec"]
    found: dict[str, dict[str, int]] = {}
    wanted = {
        c["name"]: (c.get("resources") or {}).get("requests") or {}
        for c in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    }
    seen = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    for entry in seen:
        actual = (entry.get("resources") or {}).get("requests")
        allocated = entry.get("allocatedResources")
        wish = wanted.get(entry["name"])
        if wish is None or actual is None or (actual == wish and allocated in (None, wish)):
            continue
        found[entry["name"]] = _larger((actual, allocated or {}))
    if found and _is_infeasible(status):
        for entry in found.values():
            entry[""] = 1
    pod_level = ((status.get("resources") or {}).get("requests"), status.get("allocatedResources"))
    if (spec.get("resources") or {}).get("requests") and any(pod_level):
        found[""] = _larger(r or {} for r in pod_level)
    return found


def _larger(many: Iterable[Mapping[str, str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for requests in many:
        _at_least(found, amounts(requests))
    return found


def _is_infeasible(status: Obj) -> bool:
    return any(
        c["type"] == "PodResizePending" and c.get("reason") == "Infeasible"
        for c in status.get("conditions") or ()
    )
