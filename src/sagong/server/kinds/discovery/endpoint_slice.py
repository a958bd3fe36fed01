"""Endpoint slices."""

from collections.abc import Sequence

from sagong.api import names
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
        _drop_zone(endpoint)
    for port in obj["ports"] or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


def _drop_zone(endpoint: Obj) -> None:
    """The zone has a field of its own; among the labels that came before, it is not kept."""
    topology = endpoint.get("deprecatedTopology")
    if topology and _ZONE in topology:
        kept = {key: value for key, value in topology.items() if key != _ZONE}
        endpoint["deprecatedTopology"] = kept
        if not kept:
            del endpoint["deprecatedTopology"]


_ZONE = "topology.kubernetes.io/zone"
_TOPOLOGY_MAX = 16
_HINTS_MAX = 8
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
        endpoints = []
    for i, endpoint in enumerate(endpoints):
        _validate_endpoint(endpoint, type_, Path("endpoints").index(i), errors)
    if len(ports) > _PORTS_MAX:
        errors.too_many(Path("ports"), len(ports), _PORTS_MAX)
        ports = []
    taken: set[str] = set()
    for i, port in enumerate(ports):
        at = Path("ports").index(i)
        name = port.get("name") or ""
        if name:
            checks.dns_label(name, at.child("name"), errors)
        if name in taken:
            errors.duplicate(at.child("name"), name)
        taken.add(name)
        checks.one_of(port.get("protocol"), PROTOCOLS, at.child("protocol"), errors)
        if port.get("appProtocol") is not None:
            checks.qualified_name(port["appProtocol"], at.child("appProtocol"), errors)


def _validate_endpoint(endpoint: Obj, type_: str, path: Path, errors: ErrorList) -> None:
    addresses, where = endpoint.get("addresses") or [], path.child("addresses")
    if not addresses:
        errors.required(where, "must contain at least 1 address")
    elif len(addresses) > _ADDRESSES_MAX:
        errors.too_many(where, len(addresses), _ADDRESSES_MAX)
    for i, address in enumerate(addresses):
        _validate_address(address, type_, where.index(i), errors)
    if endpoint.get("nodeName") is not None:
        checks.dns_subdomain(endpoint["nodeName"], path.child("nodeName"), errors)
    topology, where = endpoint.get("deprecatedTopology") or {}, path.child("deprecatedTopology")
    if len(topology) > _TOPOLOGY_MAX:
        errors.too_many(where, len(topology), _TOPOLOGY_MAX)
    checks.labels(topology, where, errors)
    if endpoint.get("hostname") is not None:
        checks.dns_label(endpoint["hostname"], path.child("hostname"), errors)
    hints, where = endpoint.get("hints") or {}, path.child("hints")
    _validate_hints(hints.get("forZones") or [], names.label_value, where.child("forZones"), errors)
    nodes = hints.get("forNodes") or []
    _validate_hints(nodes, names.dns1123_subdomain, where.child("forNodes"), errors)


def _validate_hints(
    hints: Sequence[Obj], rule: checks.NameRule, path: Path, errors: ErrorList
) -> None:
    if len(hints) > _HINTS_MAX:
        errors.too_many(path, len(hints), _HINTS_MAX)
        return
    seen: set[str] = set()
    for i, hint in enumerate(hints):
        name, at = hint.get("name") or "", path.index(i).child("name")
        if name in seen:
            errors.duplicate(at, name)
        seen.add(name)
        checks.name(name, rule, at, errors)


def _validate_address(address: str, type_: str, path: Path, errors: ErrorList) -> None:
    if type_ == "FQDN":
        _validate_domain(address, path, errors)
        return
    why = special_ip(address)
    if not checks.name(address, ip_address, path, errors):
        return
    ip = parse_ip(address)
    if ip is not None and type_ in ("IPv4", "IPv6") and f"IPv{ip.version}" != type_:
        errors.invalid(path, address, f"must be an {type_} address")
    if why:
        errors.invalid(path, address, why)


def _validate_domain(domain: str, path: Path, errors: ErrorList) -> None:
    """A fully qualified name, with its last dot or without."""
    if not checks.required(domain, path, errors):
        return
    domain = domain.removesuffix(".")
    wrong = names.dns1123_subdomain(domain)
    if wrong:
        errors.invalid(path, domain, ",".join(wrong))
    elif "." not in domain:
        message = "should be a domain with at least two segments separated by dots"
        errors.invalid(path, domain, message)
    else:
        for label in domain.split("."):
            if names.dns1123_label(label):
                errors.invalid(path, label, ",".join(names.dns1123_label(label)))
                return


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    where = Path("addressType")
    checks.unchanged(new.get("addressType"), old.get("addressType"), where, errors)


def warnings(new: Obj, old: Obj | None) -> list[str]:
    if new.get("addressType") != "FQDN":
        return []
    return ["spec.addressType: FQDN endpoints are deprecated"]  # with upstream's path


STRATEGY = Strategy(
    warnings=warnings,
    validate=validate,
    validate_update=validate_update,
    default=default,
    has_generation=True,
    has_status=False,
)
