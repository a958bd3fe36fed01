"""The quality-of-service class of a pod (upstream: pkg/apis/core/helper/qos)."""

from sagong.api.types import Obj

_COMPUTE = ("cpu", "memory")


def qos_class(spec: Obj) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``, from requests and limits."""
    pod_resources = spec.get("resources") or {}
    if pod_resources.get("requests") or pod_resources.get("limits"):
        return _of_lists([pod_resources])
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return _of_lists([c.get("resources") or {} for c in containers])


def _of_lists(resource_sets: list[Obj]) -> str:
    any_set = False
    guaranteed = True
    for resources in resource_sets:
        requests = _positive(resources.get("requests"))
        limits = _positive(resources.get("limits"))
        any_set = any_set or bool(requests or limits)
        if set(limits) != set(_COMPUTE) or any(
            requests.get(name, limits[name]) != limits[name] for name in limits
        ):
            guaranteed = False
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(amounts: Obj | None) -> Obj:
    """Compute resources with an amount other than zero, as the (canonical) quantities given."""
    return {
        name: str(amount)
        for name, amount in (amounts or {}).items()
        if name in _COMPUTE and str(amount) not in ("0", "")
    }
