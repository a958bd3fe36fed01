"""Validation of limit ranges."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_resources import (
    overcommit_allowed,
    validate_container_resource_name,
    validate_resource_name,
)

_TYPES = ("Container", "PersistentVolumeClaim", "Pod")


def validate_limit_range(obj: Obj, errors: ErrorList) -> None:
    seen: set[str] = set()
    for i, item in enumerate(obj["spec"].get("limits") or ()):
        at = Path("spec").child("limits").index(i)
        type_ = item.get("type") or ""
        named = checks.qualified_name(type_, at.child("type"), errors)
        if named and "/" not in type_ and type_ not in _TYPES:
            message = "must be a standard limit type or fully qualified"
            errors.invalid(at.child("type"), type_, message)
        if type_ in seen:
            errors.duplicate(at.child("type"), type_)
        seen.add(type_)
        _validate_item(item, type_, at, errors)


def _validate_item(item: Obj, type_: str, path: Path, errors: ErrorList) -> None:
    fields = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
    keys: dict[str, None] = {}
    for field in fields:
        if field.startswith("default") and type_ == "Pod":
            if item.get(field):
                errors.forbidden(path.child(field), "may not be specified when `type` is 'Pod'")
            continue
        for name in item.get(field) or {}:
            where = path.child(field).key(name)
            if type_ in ("Container", "Pod"):
                validate_container_resource_name(name, where, errors)
            else:
                validate_resource_name(name, where, errors)
            keys[name] = None
    if type_ == "PersistentVolumeClaim":
        given = {*(item.get("min") or {}), *(item.get("max") or {})}
        if "storage" not in given:
            message = (
                "either minimum or maximum storage value is required, but neither was provided"
            )
            errors.required(path.child("limits"), message)
    for name in keys:
        _compare(item, name, path, errors)


def _compare(item: Obj, name: str, path: Path, errors: ErrorList) -> None:
    low, high = _of(item, "min", name), _of(item, "max", name)
    default, request = _of(item, "default", name), _of(item, "defaultRequest", name)

    def refuse(field: str, shown: str, message: str) -> None:
        errors.invalid(path.child(field).key(name), shown, message)

    if _exceeds(low, high):
        refuse("min", low, f"min value {low} is greater than max value {high}")
    if _exceeds(low, request):
        message = f"min value {low} is greater than default request value {request}"
        refuse("defaultRequest", request, message)
    if _exceeds(request, high):
        message = f"default request value {request} is greater than max value {high}"
        refuse("defaultRequest", request, message)
    if _exceeds(request, default):
        message = f"default request value {request} is greater than default limit value {default}"
        refuse("defaultRequest", request, message)
    if _exceeds(low, default):
        refuse("default", low, f"min value {low} is greater than default value {default}")
    if _exceeds(default, high):
        refuse("default", high, f"default value {default} is greater than max value {high}")
    ratio = _of(item, "maxLimitRequestRatio", name)
    if _exceeds("1", ratio):
        refuse("maxLimitRequestRatio", ratio, f"ratio {ratio} is less than 1")
    if ratio and low and high:
        most = checks.quantity(high).nano / checks.quantity(low).nano if _exceeds(low, "0") else 0
        if most and checks.quantity(ratio).nano / 10**9 > most:
            message = f"ratio {ratio} is greater than max/min = {most:f}"
            refuse("maxLimitRequestRatio", ratio, message)
    if not overcommit_allowed(name) and default and request and default != request:
        message = f"default value {default} must equal to defaultRequest value {request} in {name}"
        refuse("defaultRequest", request, message)


def _of(item: Obj, field: str, name: str) -> str:
    """The quantity as text, "" if there is none."""
    value = (item.get(field) or {}).get(name)
    return "" if value is None else str(value)


def _exceeds(one: str, other: str) -> bool:
    return bool(one and other) and checks.quantity(one).nano > checks.quantity(other).nano
