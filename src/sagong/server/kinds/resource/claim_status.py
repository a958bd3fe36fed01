"""Validation of the status of resource claims: what was allocated, who uses it, how it fares."""

import re

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import parse_interface
from sagong.server.kinds.conditions import validate_conditions
from sagong.server.kinds.core.pod_scheduling import validate_node_selector
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name
from sagong.server.kinds.resource.claim_validation import RequestNames
from sagong.server.kinds.resource.device_names import (
    CONFIGS_MAX,
    PARAMETERS_BYTES_MAX,
    REQUESTS_MAX,
    own,
    validate_binding_conditions,
    validate_configuration,
    validate_items,
    validate_pool_name,
    validate_raw_object,
)

_STATUS = Path("status")
_USERS_MAX = 256
_RESULTS_MAX = 32
_CONDITIONS_MAX = 8
_ADDRESSES_MAX = 16
_INTERFACE_NAME_MAX = 256
_HARDWARE_ADDRESS_MAX = 128
_UID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEVICE = ("driver", "pool", "device", "shareID")


def validate_claim_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    status, before = new.get("status") or {}, old.get("status") or {}
    users, where = status.get("reservedFor") or [], _STATUS.child("reservedFor")
    validate_items(users, _USERS_MAX, where, errors, _validate_user, _uid)
    allocation = status.get("allocation")
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    allocated = {_device(result) for result in results}

    def device(item: Obj, path: Path, found: ErrorList) -> None:
        _validate_device(item, allocated, path, found)

    devices = status.get("devices") or []
    validate_items(devices, len(devices), _STATUS.child("devices"), errors, device, _device)
    if users and allocation is None:
        errors.forbidden(where, "may not be specified when `allocated` is not set")
    elif users and new["metadata"].get("deletionTimestamp"):
        known = before.get("reservedFor") or []
        if any(user not in known for user in users):
            message = (
                "new entries may not be added while `deallocationRequested` or "
                "`deletionTimestamp` are set"
            )
            errors.forbidden(where, message)
    at = _STATUS.child("allocation")
    if allocation is not None and before.get("allocation") is not None:
        checks.unchanged(allocation, before["allocation"], at, errors)
    elif allocation is not None:
        _validate_allocation(allocation, RequestNames(new.get("spec") or {}), at, errors)


def _uid(user: Obj) -> str:
    return user.get("uid") or ""


def _device(owner: Obj) -> tuple[str, ...]:
    return tuple(owner.get(field) or "" for field in _DEVICE)


def _validate_user(user: Obj, path: Path, errors: ErrorList) -> None:
    for field in ("resource", "name", "uid"):
        checks.required(user.get(field), path.child(field), errors)


def _validate_allocation(
    allocation: Obj, names: RequestNames, path: Path, errors: ErrorList
) -> None:
    devices, at = allocation.get("devices") or {}, path.child("devices")

    def result(item: Obj, where: Path, found: ErrorList) -> None:
        names.validate(item.get("request") or "", where.child("request"), found)
        _validate_place(item, where, found)
        validate_binding_conditions(item, where, found)

    def config(item: Obj, where: Path, found: ErrorList) -> None:
        source, origin = item.get("source") or "", where.child("source")
        if checks.required(source, origin, found):
            checks.one_of(source, ("FromClaim", "FromClass"), origin, found)
        references = item.get("requests") or ()
        validate_items(
            references, REQUESTS_MAX, where.child("requests"), found, names.validate, own
        )
        validate_configuration(item, where, found)

    results = devices.get("results") or ()
    validate_items(results, _RESULTS_MAX, at.child("results"), errors, result)
    configs = devices.get("config") or ()
    validate_items(configs, 2 * CONFIGS_MAX, at.child("config"), errors, config)
    if allocation.get("nodeSelector") is not None:
        validate_node_selector(allocation["nodeSelector"], path.child("nodeSelector"), errors)


def _validate_place(owner: Obj, path: Path, errors: ErrorList) -> None:
    """Which device: driver, pool, name, and share if it is shared."""
    validate_csi_driver_name(owner.get("driver") or "", path.child("driver"), errors)
    validate_pool_name(owner.get("pool") or "", path.child("pool"), errors)
    name = owner.get("device") or ""
    if checks.required(name, path.child("device"), errors):
        checks.dns_label(name, path.child("device"), errors)
    share = owner.get("shareID")
    if share is not None and not _UID.fullmatch(share):
        message = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` "
            "with lowercase hexadecimal characters"
        )
        errors.invalid(path.child("shareID"), share, message)


def _validate_device(
    device: Obj, allocated: set[tuple[str, ...]], path: Path, errors: ErrorList
) -> None:
    _validate_place(device, path, errors)
    if _device(device) not in allocated:
        shown = "/".join(part for part in _device(device) if part)
        errors.invalid(path, shown, "must be an allocated device in the claim")
    conditions, where = device.get("conditions") or [], path.child("conditions")
    if len(conditions) > _CONDITIONS_MAX:
        errors.too_many(where, len(conditions), _CONDITIONS_MAX)
    validate_conditions(conditions, where, errors)
    if device.get("data") is not None:
        validate_raw_object(device["data"], path.child("data"), PARAMETERS_BYTES_MAX, errors)
    network = device.get("networkData")
    if network is not None:
        _validate_network(network, path.child("networkData"), errors)


def _validate_network(data: Obj, path: Path, errors: ErrorList) -> None:
    for field, most in (
        ("interfaceName", _INTERFACE_NAME_MAX),
        ("hardwareAddress", _HARDWARE_ADDRESS_MAX),
    ):
        if len(data.get(field) or "") > most:
            errors.too_long(path.child(field), most)
    addresses = data.get("ips") or ()
    validate_items(addresses, _ADDRESSES_MAX, path.child("ips"), errors, _validate_address, own)


def _validate_address(text: str, path: Path, errors: ErrorList) -> None:
    """An address of an interface with the length of its network's prefix."""
    interface = parse_interface(text)
    if interface is None:
        message = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        errors.invalid(path, text, message)
    elif str(interface) != text:
        errors.invalid(path, text, f'must be in canonical form ("{interface}")')
