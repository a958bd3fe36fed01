"""Validation of resource requests and limits, and of the names of resources."""

from collections.abc import Collection

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path, show_value
from sagong.server.kinds import checks

HUGEPAGES = "hugepages-"
_CONTAINER_RESOURCES = ("cpu", "memory", "ephemeral-storage")
_QUOTA_RESOURCES = (
    *("cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory"),
    *("requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage"),
    *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
    *("persistentvolumeclaims", "storage", "requests.storage", "services.nodeports"),
    "services.loadbalancers",
)
_INTEGER_RESOURCES = (
    *("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
    *("persistentvolumeclaims", "services.nodeports", "services.loadbalancers"),
)
_POD_LEVEL = ("cpu", "memory")


def is_native(name: str) -> bool:
    """Kubernetes' own resources: unqualified, or under kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Resources that somebody else defines, such as ``nvidia.com/gpu``."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def is_integer(name: str) -> bool:
    return name in _INTEGER_RESOURCES or is_extended(name)


def overcommit_allowed(name: str) -> bool:
    return is_native(name) and not name.startswith(HUGEPAGES)


def validate_resource_name(name: str, path: Path, errors: ErrorList) -> bool:
    """A qualified name; without a prefix, one of the standard ones."""
    before = len(errors)
    checks.qualified_name(name, path, errors)
    if len(errors) > before:
        return False
    huge = name.startswith((HUGEPAGES, "requests.hugepages-"))
    if "/" not in name and name not in _QUOTA_RESOURCES and not huge:
        message = "must be a standard resource type or fully qualified"
        errors.invalid(path, name, message)
    return len(errors) == before


def is_standard_quota(name: str) -> bool:
    """Whether quotas know a resource by itself, without a prefix of its own."""
    huge = name.startswith((HUGEPAGES, "requests.hugepages-"))
    return huge or (name != "storage" and name in _QUOTA_RESOURCES)


def validate_quota_resource_name(name: str, path: Path, errors: ErrorList) -> None:
    validate_resource_name(name, path, errors)
    if "/" not in name and not is_standard_quota(name):
        errors.invalid(path, name, "must be a standard resource for quota")


def validate_container_resource_name(name: str, path: Path, errors: ErrorList) -> None:
    validate_resource_name(name, path, errors)
    if "/" not in name:
        if name not in _CONTAINER_RESOURCES and not name.startswith(HUGEPAGES):
            errors.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name):
        checks_extended = len(f"requests.{name}") <= 253 + len("requests.")
        if not checks_extended or name.startswith("requests."):
            errors.invalid(path, name, "doesn't follow extended resource name standard")


def validate_quantity_value(name: str, value: str, path: Path, errors: ErrorList) -> None:
    """Not negative; whole where the resource counts things."""
    checks.not_negative_quantity(value, path, errors)
    if is_integer(name) and checks.quantity(value).nano % 10**9:
        errors.invalid(path, str(value), "must be an integer")


def validate_resources(
    resources: Obj, claims: Collection[str], path: Path, errors: ErrorList
) -> None:
    """A container's ResourceRequirements; ``claims`` are the pod's resource claims by name."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    limits_path, requests_path = path.child("limits"), path.child("requests")
    for name, value in limits.items():
        validate_container_resource_name(name, limits_path.key(name), errors)
        validate_quantity_value(name, value, limits_path.key(name), errors)
    for name, value in requests.items():
        validate_container_resource_name(name, requests_path.key(name), errors)
        validate_quantity_value(name, value, requests_path.key(name), errors)
        _compare(name, value, limits, path, errors)
    for kind, where in ((limits, limits_path), (requests, requests_path)):
        for name, value in kind.items():
            _validate_huge_pages(name, value, where.key(name), errors)
    named = {*limits, *requests}
    if any(n.startswith(HUGEPAGES) for n in named) and not named & {"cpu", "memory"}:
        errors.forbidden(path, "HugePages require cpu or memory")
    _validate_claims(resources, claims, path, errors)


def _validate_huge_pages(name: str, value: str, path: Path, errors: ErrorList) -> None:
    """Whole pages only."""
    if not name.startswith(HUGEPAGES):
        return
    try:
        size = checks.quantity(name.removeprefix(HUGEPAGES)).nano
    except ValueError:
        return
    asked = checks.quantity(value).nano
    if size <= 0 or asked < 0 or asked % size:
        message = f"{value} is not positive integer multiple of {name}"
        errors.invalid(path, str(value), message)


def _compare(name: str, value: str, limits: Obj, path: Path, errors: ErrorList) -> None:
    limit = limits.get(name)
    requests_path = path.child("requests")
    if limit is None:
        if not overcommit_allowed(name):
            message = "Limit must be set for non overcommitable resources"
            errors.required(path.child("limits"), message)
        return
    asked, allowed = checks.quantity(value).nano, checks.quantity(limit).nano
    if not overcommit_allowed(name) and asked != allowed:
        message = f"must be equal to {name} limit of {limit}"
        errors.invalid(requests_path, str(value), message)
    elif asked > allowed:
        message = f"must be less than or equal to {name} limit of {limit}"
        errors.invalid(requests_path, str(value), message)


def _validate_claims(
    resources: Obj, claims: Collection[str], path: Path, errors: ErrorList
) -> None:
    seen: set[tuple[str, str]] = set()
    for i, claim in enumerate(resources.get("claims") or ()):
        at = path.child("claims").index(i)
        name, request = claim.get("name") or "", claim.get("request") or ""
        if not checks.required(name, at, errors):
            continue
        if (name, request) in seen:
            errors.duplicate(at, f"{name}/{request}" if request else name)
        seen.add((name, request))
        if name not in claims:
            detail = "must be one of the names in pod.spec.resourceClaims"
            detail += f": {', '.join(sorted(claims))}" if claims else " which is empty"
            errors.add("FieldValueNotFound", at, f"Not found: {show_value(name)}: {detail}")


def validate_pod_level_resources(
    spec: Obj, claims: Collection[str], path: Path, errors: ErrorList
) -> None:
    """``spec.resources``: only cpu, memory and huge pages; at least what containers request."""
    resources = spec["resources"]
    for kind in ("limits", "requests"):
        for name in resources.get(kind) or {}:
            if name not in _POD_LEVEL and not name.startswith(HUGEPAGES):
                supported = ["cpu", HUGEPAGES, "memory"]
                errors.not_supported(path.child(kind).key(name), name, supported)
    validate_resources(resources, claims, path, errors)
    for name, value in (resources.get("requests") or {}).items():
        total = _requested_nano(spec, name)
        if checks.quantity(value).nano < total:
            shown = str(checks.quantity(value).__class__(total, checks.quantity(value).format))
            message = f"must be greater than or equal to aggregate container requests of {shown}"
            errors.invalid(path.child("requests").key(name), str(value), message)


def _requested_nano(spec: Obj, name: str) -> int:
    amounts = ((c.get("resources") or {}).get("requests", {}).get(name) for c in spec["containers"])
    return sum(checks.quantity(a).nano for a in amounts if a is not None)
