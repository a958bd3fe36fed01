"""References of a pod to its own fields: the downward API, in environment and volumes."""

import re
from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

ENV_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_KNOWN_FIELDS = (
    *ENV_FIELDS,
    "metadata.annotations",
    "metadata.labels",
    "spec.host",
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
)
_RESOURCES = tuple(
    f"{kind}.{name}"
    for kind in ("limits", "requests")
    for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE = ("limits.hugepages-", "requests.hugepages-")
_SUBSCRIPT = re.compile(r"^(?P<path>[^\[]+)\['(?P<key>.*)'\]$")
_CPU_DIVISORS = ("1m", "1")
_BYTE_DIVISORS = (
    *("1", "1k", "1M", "1G", "1T", "1P", "1E"),
    *("1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"),
)
_RESOURCE_WORDS = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def validate_field_reference(
    reference: Obj, allowed: Sequence[str], path: Path, errors: ErrorList
) -> None:
    """An ObjectFieldSelector whose plain fields are limited to ``allowed`` (sorted)."""
    version, field = reference.get("apiVersion") or "", reference.get("fieldPath") or ""
    if not version:
        errors.required(path.child("apiVersion"))
        return
    if not field:
        errors.required(path.child("fieldPath"))
        return
    where = path.child("fieldPath")
    subscripted = _SUBSCRIPT.match(field)
    plain = subscripted["path"] if subscripted else field
    if version != "v1":
        errors.invalid(
            where, field, f"error converting fieldPath: unsupported pod version: {version}"
        )
    elif plain not in _KNOWN_FIELDS:
        errors.invalid(
            where, field, f"error converting fieldPath: field label not supported: {plain}"
        )
    elif subscripted:
        _validate_subscript(plain, subscripted["key"], path, errors)
    elif plain not in allowed:
        errors.not_supported(where, plain, list(allowed))


def _validate_subscript(field: str, key: str, path: Path, errors: ErrorList) -> None:
    if field == "metadata.annotations":
        checks.qualified_name(key.lower(), path, errors)
    elif field == "metadata.labels":
        checks.qualified_name(key, path, errors)
    else:
        errors.invalid(path, field, "does not support subscript")


def validate_resource_field_reference(
    reference: Obj, path: Path, errors: ErrorList, *, in_volume: bool
) -> None:
    """A ResourceFieldSelector; in a volume it must name its container."""
    resource = reference.get("resource") or ""
    if in_volume and not reference.get("containerName"):
        errors.required(path.child("containerName"))
    elif not resource:
        errors.required(path.child("resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE):
        errors.not_supported(path.child("resource"), resource, list(_RESOURCES))
    if resource in _RESOURCES or resource.startswith(_HUGE):
        _validate_divisor(resource, reference.get("divisor"), path, errors)


def _validate_divisor(resource: str, divisor: str | None, path: Path, errors: ErrorList) -> None:
    name = resource.partition(".")[2]
    if divisor is None or not checks.quantity(divisor):
        return
    allowed = _CPU_DIVISORS if name == "cpu" else _BYTE_DIVISORS
    amount = checks.quantity(divisor).nano
    if amount in [checks.quantity(d).nano for d in allowed]:
        return
    listed = "1m and 1" if name == "cpu" else ", ".join(allowed)
    word = "cpu" if name == "cpu" else _RESOURCE_WORDS.get(name, "hugepages")
    message = f"only divisor's values {listed} are supported with the {word} resource"
    errors.invalid(path.child("divisor"), resource, message)
