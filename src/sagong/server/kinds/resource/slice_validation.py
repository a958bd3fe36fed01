"""Validation of the devices that drivers offer."""

import re

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_scheduling import validate_node_selector
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name
from sagong.server.kinds.resource.device_names import (
    checks_dns_label,
    name_of,
    validate_attribute_name,
    validate_binding_conditions,
    validate_items,
    validate_pool_name,
    validate_taint,
)
from sagong.server.kinds.resource.request_policy import validate_capacity

_SPEC = Path("spec")
_DEVICES_MAX = 128
_DEVICES_MAX_IF_TAINTED = 64  # or if they consume counters: such devices are larger
_COUNTER_SETS_MAX = 8
_COUNTERS_MAX = 32
_CONSUMPTIONS_MAX = 2
_ATTRIBUTES_AND_CAPACITIES_MAX = 32
_TAINTS_MAX = 16
_VALUE_BYTES_MAX = 64
_KEY_SHOWN_MAX = 63 + 1 + 32
_VALUE_FIELDS = ("bool", "int", "string", "version")
_IDENTIFIER = r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_NUMBER = r"(0|[1-9]\d*)"
_SEMANTIC_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(-{_IDENTIFIER}(\.{_IDENTIFIER})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_PER_DEVICE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
)
_PER_SLICE = (
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
)


def validate_slice(obj: Obj, errors: ErrorList) -> None:
    spec = obj.get("spec") or {}
    validate_csi_driver_name(spec.get("driver") or "", _SPEC.child("driver"), errors)
    _validate_pool(spec.get("pool") or {}, _SPEC.child("pool"), errors)
    _validate_place(spec, errors)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        errors.invalid(_SPEC, "", "only one of `sharedCounters` or `devices` is allowed")
    devices = spec.get("devices") or ()
    larger = any(device.get("taints") or device.get("consumesCounters") for device in devices)
    most = _DEVICES_MAX_IF_TAINTED if larger else _DEVICES_MAX
    each = bool(spec.get("perDeviceNodeSelection"))

    def check(device: Obj, path: Path, found: ErrorList) -> None:
        _validate_device(device, path, found, each=each)

    validate_items(devices, most, _SPEC.child("devices"), errors, check, name_of)
    counters, where = spec.get("sharedCounters") or (), _SPEC.child("sharedCounters")
    validate_items(counters, _COUNTER_SETS_MAX, where, errors, _validate_counter_set, name_of)


def validate_slice_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new.get("spec") or {}, old.get("spec") or {}
    name, before = (ours.get("pool") or {}).get("name"), (theirs.get("pool") or {}).get("name")
    checks.unchanged(name, before, _SPEC.child("pool", "name"), errors)
    for field in ("driver", "nodeName"):
        checks.unchanged(ours.get(field), theirs.get(field), _SPEC.child(field), errors)


def _validate_pool(pool: Obj, path: Path, errors: ErrorList) -> None:
    validate_pool_name(name_of(pool), path.child("name"), errors)
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        errors.invalid(path.child("resourceSliceCount"), count, "must be greater than zero")
    if generation < 0:
        message = "must be greater than or equal to zero"
        errors.invalid(path.child("generation"), generation, message)


def _validate_place(spec: Obj, errors: ErrorList) -> None:
    """Exactly one of the ways to say on which nodes the devices are."""
    given = [
        field
        for field in ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
        if spec.get(field) not in (None, "", False)
    ]
    name, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if name:
        checks.dns_subdomain(name, _SPEC.child("nodeName"), errors)
    elif name is not None:
        message = "must be either unset or set to a non-empty string"
        errors.invalid(_SPEC.child("nodeName"), name, message)
    if selector is not None:
        where = _SPEC.child("nodeSelector")
        validate_node_selector(selector, where, errors)
        terms = selector.get("nodeSelectorTerms")
        if len(terms or ()) != 1:
            message = "must have exactly one node selector term"
            errors.invalid(where.child("nodeSelectorTerms"), terms, message)
    for field in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(field) is False:
            message = "must be either unset or set to true"
            errors.invalid(_SPEC.child(field), False, message)
    if not given:
        errors.required(_SPEC, _PER_SLICE)
    elif len(given) > 1:
        errors.invalid(_SPEC, _listed(given), f"{_PER_SLICE}, but multiple fields are set")


def _listed(fields: list[str]) -> str:
    return "{" + ", ".join(f"`{field}`" for field in fields) + "}"


def _validate_device(device: Obj, path: Path, errors: ErrorList, *, each: bool) -> None:
    name, where = name_of(device), path.child("name")
    if checks.required(name, where, errors):
        checks.dns_label(name, where, errors)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    total = len(attributes) + len(capacity)
    if total > _ATTRIBUTES_AND_CAPACITIES_MAX:
        message = (
            "the total number of attributes and capacities must not exceed "
            f"{_ATTRIBUTES_AND_CAPACITIES_MAX}"
        )
        errors.invalid(path, total, message)
    for key, attribute in attributes.items():
        at = path.child("attributes").key(_shortened(key, _KEY_SHOWN_MAX))
        validate_attribute_name(key, at, errors)
        _validate_attribute(attribute, at, errors)
    shared = bool(device.get("allowMultipleAllocations"))
    for key, amount in capacity.items():
        at = path.child("capacity").key(_shortened(key, _KEY_SHOWN_MAX))
        validate_attribute_name(key, at, errors)
        validate_capacity(amount, at, errors, shared=shared)
    taints = device.get("taints") or ()
    validate_items(taints, _TAINTS_MAX, path.child("taints"), errors, validate_taint)
    consumed, where = device.get("consumesCounters") or (), path.child("consumesCounters")
    validate_items(consumed, _CONSUMPTIONS_MAX, where, errors, _validate_consumption, _counter_set)
    _validate_device_place(device, path, errors, each=each)
    validate_binding_conditions(device, path, errors)


def _validate_device_place(device: Obj, path: Path, errors: ErrorList, *, each: bool) -> None:
    fields = ("nodeName", "nodeSelector", "allNodes")
    if not each:
        if any(device.get(field) is not None for field in fields):
            message = (
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
                "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"
            )
            errors.invalid(path, None, message)
        return
    name = device.get("nodeName")
    if name:
        checks.dns_subdomain(name, path.child("nodeName"), errors)
    elif name is not None:
        errors.invalid(path.child("nodeName"), name, "must not be empty")
    if device.get("nodeSelector") is not None:
        validate_node_selector(device["nodeSelector"], path.child("nodeSelector"), errors)
    if device.get("allNodes") is False:
        message = "must be either unset or set to true"
        errors.invalid(path.child("allNodes"), False, message)
    given = [field for field in fields if device.get(field) not in (None, "", False)]
    if not given:
        errors.required(path, _PER_DEVICE)
    elif len(given) > 1:
        errors.invalid(path, _listed(given), _PER_DEVICE)


def _validate_attribute(attribute: Obj, path: Path, errors: ErrorList) -> None:
    text, version = attribute.get("string"), attribute.get("version")
    if text is not None and len(text.encode()) > _VALUE_BYTES_MAX:
        errors.too_long(path.child("string"), _VALUE_BYTES_MAX)
    if version is not None:
        where = path.child("version")
        if not _SEMANTIC_VERSION.fullmatch(version):
            message = "must be a string compatible with semver.org spec 2.0.0"
            errors.invalid(where, version, message)
        if len(version.encode()) > _VALUE_BYTES_MAX:
            errors.too_long(where, _VALUE_BYTES_MAX)
    given = checks.exactly_one(attribute, _VALUE_FIELDS)
    if len(given) != 1:
        # Upstream's union rule shows which of the fields are set, not what is in them.
        shown = _listed(given) if given else ""
        fields = ", ".join(f"`{field}`" for field in _VALUE_FIELDS)
        message = f"must specify {'exactly ' if given else ''}one of: {fields}"
        errors.invalid(path, shown, message)


def _validate_counter_set(counters: Obj, path: Path, errors: ErrorList) -> None:
    name = name_of(counters)
    if checks.required(name, path.child("name"), errors):
        checks.dns_label(name, path.child("name"), errors)
    _validate_counters(counters, path, errors)


def _counter_set(consumption: Obj) -> str:
    return consumption.get("counterSet") or ""


def _validate_consumption(consumption: Obj, path: Path, errors: ErrorList) -> None:
    name, where = _counter_set(consumption), path.child("counterSet")
    if checks.required(name, where, errors):
        checks.dns_label(name, where, errors)
    _validate_counters(consumption, path, errors)


def _validate_counters(owner: Obj, path: Path, errors: ErrorList) -> None:
    counters, where = owner.get("counters") or {}, path.child("counters")
    if not checks.required(counters, where, errors):
        return
    if len(counters) > _COUNTERS_MAX:
        errors.too_many(where, len(counters), _COUNTERS_MAX)
        return
    for name in counters:
        checks_dns_label(name, where.key(_shortened(name, 63)), errors)


def _shortened(key: str, most: int) -> str:
    """A key too long to be shown, without its middle."""
    if len(key) <= most:
        return key
    kept = most - len("...")
    return key[: (kept + 1) // 2] + "..." + key[len(key) - kept // 2 :]
