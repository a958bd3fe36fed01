"""Endpoint slices."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import ip_address, parse_ip, special_ip
from sagong.server.kinds.core.pod_containers import PROTOCOLS
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    """``endpoints`` and ``ports`` are always written, as null where there are none."""
    obj.setdefault("endpoints", None)
    obj.setdefault("ports", None)
    for endpoint in obj["endpoints"] or ():
        endpoint.setdefault("conditions", {})
    for port in obj["ports"] or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


_TYPES = ("FQDN", "IPv4", "IPv6")
_ENDPOINTS_MAX = 1000
_ADDRESSES_MAX = 100
_PORTS_MAX = 20000


def validate(obj: Obj, errors: ErrorList) -> None:
    type_ = obj.get("addressType") or ""
    if checks.required(type_, Path("addressType"), errors):
        checks.one_of(type_, _TYPES, Path("addressType"), errors)
    endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
    if len(endpoints) > _ENDPOINTS_MAX:
        errors.too_many(Path("endpoints"), len(endpoints), _ENDPOINTS_MAX)
    for i, endpoint in enumerate(endpoints):
        _validate_endpoint(endpoint, type_, Path("endpoints").index(i), errors)
    if len(ports) > _PORTS_MAX:
        errors.too_many(Path("ports"), len(ports), _PORTS_MAX)
    names: set[str] = set()
    for i, port in enumerate(ports):
        at = Path("ports").index(i)
        name = port.get("name") or ""
        if name:
            checks.dns_label(name, at.child("name"), errors)
        if name in names:
            errors.duplicate(at.child("name"), name)
        names.add(name)
        checks.one_of(port.get("protocol"), PROTOCOLS, at.child("protocol"), errors)
        if port.get("appProtocol"):
            checks.qualified_name(port["appProtocol"], at.child("appProtocol"), errors)


def _validate_endpoint(endpoint: Obj, type_: str, path: Path, errors: ErrorList) -> None:
    addresses, where = endpoint.get("addresses") or [], path.child("addresses")
    if not addresses:
        errors.required(where, "must contain at least 1 address")
    elif len(addresses) > _ADDRESSES_MAX:
        errors.too_many(where, len(addresses), _ADDRESSES_MAX)
    for i, address in enumerate(addresses):
        _validate_address(address, type_, where.index(i), errors)
    topology = endpoint.get("deprecatedTopology") or {}
    checks.labels(topology, path.child("deprecatedTopology"), errors)
    if endpoint.get("nodeName") is not None:
        checks.dns_subdomain(endpoint["nodeName"], path.child("nodeName"), errors)
    if endpoint.get("hostname") is not None:
        checks.dns_label(endpoint["hostname"], path.child("hostname"), errors)


def _validate_address(address: str, type_: str, path: Path, errors: ErrorList) -> None:
    if type_ == "FQDN":
        checks.dns_subdomain(address, path, errors)
        return
    why = special_ip(address)
    if not checks.name(address, ip_address, path, errors):
        return
    ip = parse_ip(address)
    if ip is not None and type_ in ("IPv4", "IPv6") and f"IPv{ip.version}" != type_:
        errors.invalid(path, address, f"must be an {type_} address")
    elif why:
        errors.invalid(path, address, why)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    where = Path("addressType")
    checks.unchanged(new.get("addressType"), old.get("addressType"), where, errors)


STRATEGY = Strategy(
    validate=validate,
    validate_update=validate_update,
    default=default,
    has_generation=True,
    has_status=False,
)
