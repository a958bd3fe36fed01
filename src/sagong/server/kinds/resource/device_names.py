"""What names, lists and parameters of dynamic resource allocation have in common."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name

REQUESTS_MAX = 32
CONFIGS_MAX = 32
PARAMETERS_BYTES_MAX = 10 * 1024
_POOL_NAME_MAX = 253
_IDENTIFIER_MAX = 32
_EFFECTS = ("NoExecute", "NoSchedule", "None")

Check = Callable[[Any, Path, ErrorList], None]


def validate_items(
    items: Sequence[Any],
    most: int,
    path: Path,
    errors: ErrorList,
    check: Check,
    key: Callable[[Any], Any] | None = None,
) -> None:
    """A list of at most ``most`` items, none of which has the key of another."""
    if len(items) > most:
        errors.too_many(path, len(items), most)
        return
    for i, item in enumerate(items):
        check(item, path.index(i), errors)
    if key is None:
        return
    seen: set[Any] = set()
    for i, item in enumerate(items):
        if key(item) in seen:
            errors.duplicate(path.index(i), item)
        seen.add(key(item))


def name_of(item: Obj) -> str:
    return item.get("name") or ""


def own(item: str) -> str:
    return item


def validate_pool_name(name: str, path: Path, errors: ErrorList) -> None:
    """One or more subdomains, separated by slashes."""
    if not checks.required(name, path, errors):
        return
    if len(name) > _POOL_NAME_MAX:
        errors.too_long(path, _POOL_NAME_MAX)
    for part in name.split("/"):
        checks.dns_subdomain(part, path, errors)


def validate_attribute_name(name: str, path: Path, errors: ErrorList) -> None:
    """A C identifier, with the domain of a driver before it or not."""
    parts = name.split("/")
    if len(parts) == 1:
        _validate_identifier(name, path, errors)
    elif len(parts) == 2:
        domain, identifier = parts
        if domain:
            validate_csi_driver_name(domain, path, errors)
        else:
            errors.invalid(path, "", "the domain must not be empty")
        if identifier:
            _validate_identifier(identifier, path, errors)
        else:
            errors.invalid(path, "", "the name must not be empty")


def validate_full_attribute_name(name: str, path: Path, errors: ErrorList) -> None:
    validate_attribute_name(name, path, errors)
    if "/" not in name:
        message = "a fully qualified name must be a domain and a name separated by a slash"
        errors.invalid(path, name, message)


def _validate_identifier(name: str, path: Path, errors: ErrorList) -> None:
    if len(name) > _IDENTIFIER_MAX:
        errors.too_long(path, _IDENTIFIER_MAX)
    checks.name(name, names.c_identifier, path, errors)


def validate_configuration(config: Obj, path: Path, errors: ErrorList) -> None:
    """The driver's own parameters, which only the driver understands."""
    opaque, at = config.get("opaque"), path.child("opaque")
    if opaque is None:
        errors.required(at)
        return
    validate_csi_driver_name(opaque.get("driver") or "", at.child("driver"), errors)
    parameters = opaque.get("parameters")
    validate_raw_object(parameters, at.child("parameters"), PARAMETERS_BYTES_MAX, errors)


def validate_raw_object(value: Any, path: Path, bytes_max: int, errors: ErrorList) -> None:
    if value is None:
        errors.required(path)
    elif len(orjson.dumps(value)) > bytes_max:
        errors.too_long(path, bytes_max)
    elif not isinstance(value, dict):
        errors.invalid(path, "<value omitted>", "must be a valid JSON object")


def validate_taint(taint: Obj, path: Path, errors: ErrorList) -> None:
    checks.qualified_name(taint.get("key") or "", path.child("key"), errors)
    if taint.get("value"):
        checks.label_value(taint["value"], path.child("value"), errors)
    effect, at = taint.get("effect") or "", path.child("effect")
    if checks.required(effect, at, errors):
        checks.one_of(effect, _EFFECTS, at, errors)


def validate_toleration(toleration: Obj, path: Path, errors: ErrorList) -> None:
    if toleration.get("key"):
        checks.qualified_name(toleration["key"], path.child("key"), errors)
    operator, value = toleration.get("operator") or "", toleration.get("value") or ""
    where = path.child("operator")
    if operator == "Exists":
        if value:
            errors.invalid(path.child("value"), value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        checks.label_value(value, path.child("value"), errors)
    elif checks.required(operator, where, errors):
        errors.not_supported(where, operator, ["Equal", "Exists"])
    if toleration.get("effect"):
        checks.one_of(toleration["effect"], _EFFECTS, path.child("effect"), errors)


def validate_binding_conditions(owner: Obj, path: Path, errors: ErrorList) -> None:
    """What a driver reports before pods may be bound: conditions of success and of failure."""
    fields = ("bindingConditions", "bindingFailureConditions")
    wanted, failures = (cast(list[str], owner.get(field) or []) for field in fields)
    for field, conditions in zip(fields, (wanted, failures), strict=True):
        where = path.child(field)
        validate_items(conditions, 4, where, errors, checks_label_name, own)
    for i, condition in enumerate(failures):
        if condition in wanted:
            message = "bindingFailureConditions must not overlap with bindingConditions"
            errors.invalid(path.child(fields[1]).index(i), condition, message)
    if failures and not wanted:
        message = "bindingConditions are required to use bindingFailureConditions"
        errors.invalid(path.child(fields[0]), owner.get(fields[0]), message)
    if wanted and not failures:
        message = "bindingFailureConditions are required to use bindingConditions"
        errors.invalid(path.child(fields[1]), owner.get(fields[1]), message)


def checks_label_name(name: str, path: Path, errors: ErrorList) -> None:
    checks.qualified_name(name, path, errors)


def checks_dns_label(name: str, path: Path, errors: ErrorList) -> None:
    checks.dns_label(name, path, errors)
