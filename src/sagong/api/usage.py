"""What objects use of the quotas of their namespace, and what a pod asks for in all.

Pure; the server charges quotas with it at admission, the quota controller recounts with it. Source
of semantics: upstream's ``pkg/quota/v1/evaluator/core`` and ``component-helpers/resource``.
"""

from collections.abc import Callable, Iterable, Mapping

from sagong.api.quantities import ZERO, Quantity, parse
from sagong.api.types import Obj

# Amounts by resource name; never changed once made.
Amounts = Mapping[str, Quantity]

ONE = Quantity.of(1)

# What a container's cpu, memory and ephemeral-storage count as.
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_POD_RESOURCES = frozenset(
    {"count/pods", "pods"}
    | set(_COMPUTE)
    | {f"{kind}.{name}" for kind in ("requests", "limits") for name in _COMPUTE}
)
# If one of these is limited, every container must say how much of it it needs.
_MUST_BE_SPECIFIED = frozenset(
    {
        "cpu",
        "memory",
        "requests.cpu",
        "requests.memory",
        "limits.cpu",
        "limits.memory",
    }
)
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
# Resources that may be counted by their bare name as well as by ``count/<name>``.
_BARE_COUNTS = frozenset({"configmaps", "resourcequotas", "replicationcontrollers", "secrets"})


def add(left: Amounts, right: Amounts) -> dict[str, Quantity]:
    """The sum, name by name."""
    total = dict(left)
    for name, amount in right.items():
        total[name] = total[name] + amount if name in total else amount
    return total


def subtract(left: Amounts, right: Amounts) -> dict[str, Quantity]:
    """The difference, name by name."""
    rest = dict(left)
    for name, amount in right.items():
        rest[name] = rest.get(name, ZERO) - amount
    return rest


def greatest(left: Amounts, right: Amounts) -> dict[str, Quantity]:
    """The greater amount, name by name."""
    result = dict(left)
    for name, amount in right.items():
        if name not in result or result[name].nano < amount.nano:
            result[name] = amount
    return result


def amounts(values: Mapping[str, str] | None) -> dict[str, Quantity]:
    """Quantities of a resource list as JSON has it."""
    return {name: parse(value) for name, value in (values or {}).items()}


def pod_requests(pod: Obj) -> dict[str, Quantity]:
    """What the scheduler and quotas count: containers, init containers, sidecars, overhead."""
    return add(_pod_amounts(pod, "requests"), amounts(pod["spec"].get("overhead")))


def pod_limits(pod: Obj) -> dict[str, Quantity]:
    """As ``pod_requests``; overhead counts only where there is a limit."""
    limits = _pod_amounts(pod, "limits")
    overhead = amounts(pod["spec"].get("overhead"))
    return add(limits, {name: amount for name, amount in overhead.items() if name in limits})


def _pod_amounts(pod: Obj, part: str) -> dict[str, Quantity]:
    """``part`` is "requests" or "limits". What the pod itself states replaces its sum."""
    spec = pod["spec"]
    total: dict[str, Quantity] = {}
    for container in spec.get("containers") or ():
        total = add(total, _of_container(container, part))
    sidecars: dict[str, Quantity] = {}
    starting: dict[str, Quantity] = {}
    for container in spec.get("initContainers") or ():
        own = _of_container(container, part)
        if container.get("restartPolicy") == "Always":
            # Sidecars started before an init container run beside it.
            total, sidecars = add(total, own), add(sidecars, own)
            starting = greatest(starting, sidecars)
        else:
            starting = greatest(starting, add(sidecars, own))
    return {**greatest(total, starting), **_of_container(spec, part)}


def _of_container(container: Obj, part: str) -> dict[str, Quantity]:
    return amounts((container.get("resources") or {}).get(part))


def usage_of(resource: str, obj: Obj) -> dict[str, Quantity]:
    """What an object uses; ``resource`` is its version-less name."""
    usage = {f"count/{resource}": ONE}
    if resource in _BARE_COUNTS:
        usage[resource] = ONE
    specific = _SPECIFIC.get(resource)
    return usage | specific(obj) if specific else usage


def _pod_usage(pod: Obj) -> dict[str, Quantity]:
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    return _compute_usage(pod_requests(pod), pod_limits(pod))


def _compute_usage(requests: Amounts, limits: Amounts) -> dict[str, Quantity]:
    usage = {"pods": ONE}
    for name, amount in requests.items():
        if name in _COMPUTE or name.startswith("hugepages-"):
            usage[name] = amount
            usage[f"requests.{name}"] = amount
        elif "/" in name and not name.startswith("kubernetes.io/"):
            usage[f"requests.{name}"] = amount
    usage |= {f"limits.{name}": amount for name, amount in limits.items() if name in _COMPUTE}
    return usage


def _service_usage(service: Obj) -> dict[str, Quantity]:
    spec = service["spec"]
    usage = {"services": ONE}
    ports = spec.get("ports") or []
    if spec.get("type") == "NodePort":
        usage["services.nodeports"] = Quantity.of(len(ports))
    elif spec.get("type") == "LoadBalancer":
        usage["services.loadbalancers"] = ONE
        if spec.get("allocateLoadBalancerNodePorts") is False:
            ports = [port for port in ports if port.get("nodePort")]
        usage["services.nodeports"] = Quantity.of(len(ports))
    return usage


def _claim_usage(claim: Obj) -> dict[str, Quantity]:
    usage = {"persistentvolumeclaims": ONE}
    requests = amounts((claim["spec"].get("resources") or {}).get("requests"))
    if "storage" in requests:
        usage["requests.storage"] = requests["storage"]
    name = claim["spec"].get("storageClassName")
    if name:
        usage |= {f"{name}{_CLASS_SUFFIX}{k}": amount for k, amount in usage.items()}
    return usage


_SPECIFIC: Mapping[str, Callable[[Obj], dict[str, Quantity]]] = {
    "pods": _pod_usage,
    "services": _service_usage,
    "persistentvolumeclaims": _claim_usage,
}


def limited_by(resource: str, names: Iterable[str]) -> set[str]:
    """Those of a quota's names that objects of the resource count against."""
    counted = {f"count/{resource}"}
    if resource in _BARE_COUNTS:
        counted.add(resource)
    if resource == "services":
        counted |= {"services", "services.nodeports", "services.loadbalancers"}
    if resource == "persistentvolumeclaims":
        counted |= {"persistentvolumeclaims", "requests.storage"}
    return {
        name
        for name in names
        if name in counted
        or (resource == "persistentvolumeclaims" and _CLASS_SUFFIX in name)
        or (resource == "pods" and _limits_pods(name))
    }


def _limits_pods(name: str) -> bool:
    if name in _POD_RESOURCES or name.startswith(("hugepages-", "requests.hugepages-")):
        return True
    return name.startswith("requests.") and "/" in name


def matches_scopes(quota: Obj, resource: str, obj: Obj) -> bool:
    """True if the quota's scopes take in the object; only pods can be told apart by scopes."""
    spec = quota["spec"]
    selectors: list[Obj] = [
        {"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()
    ]
    selectors += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not selectors:
        return True
    return resource == "pods" and all(_in_scope(selector, obj["spec"]) for selector in selectors)


def _in_scope(selector: Obj, spec: Obj) -> bool:
    match selector["scopeName"]:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return _is_best_effort(spec)
        case "NotBestEffort":
            return not _is_best_effort(spec)
        case "CrossNamespacePodAffinity":
            return _affects_other_namespaces(spec)
        case "PriorityClass":
            return _has_priority_class(selector, spec.get("priorityClassName") or "")
    return False


def _has_priority_class(selector: Obj, name: str) -> bool:
    values = selector.get("values") or ()
    match selector.get("operator"):
        case "Exists":
            return bool(name)
        case "DoesNotExist":
            return not name
        case "In":
            return name in values
        case "NotIn":
            return name not in values
    return False


def _is_best_effort(spec: Obj) -> bool:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ()), spec]
    return not any(
        amount.nano > 0
        for container in containers
        for part in ("requests", "limits")
        for name, amount in _of_container(container, part).items()
        if name in ("cpu", "memory")
    )


def _affects_other_namespaces(spec: Obj) -> bool:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(kind) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [term["podAffinityTerm"] for term in preferred]
        if any(t.get("namespaces") or t.get("namespaceSelector") is not None for t in terms):
            return True
    return False


def unspecified(pod: Obj, limited: Iterable[str]) -> dict[str, list[str]]:
    """By resource that is limited and must be specified: the containers that do not do so."""
    required = sorted(set(limited) & _MUST_BE_SPECIFIED)
    spec = pod["spec"]
    missing: dict[str, list[str]] = {}
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        given = _compute_usage(
            _of_container(container, "requests"), _of_container(container, "limits")
        )
        for name in required:
            if name not in given:
                missing.setdefault(name, []).append(container["name"])
    return {name: sorted(missing[name]) for name in sorted(missing)}
