"""Endpoints (deprecated upstream in favour of EndpointSlice, still served)."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.addresses import ip_address, special_ip
from sagong.server.kinds.core.pod_containers import PROTOCOLS
from sagong.server.kinds.strategy import Strategy


def default(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def validate(endpoints: Obj, errors: ErrorList) -> None:
    for i, subset in enumerate(endpoints.get("subsets") or ()):
        at = Path("subsets").index(i)
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.required(at, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for j, address in enumerate(subset.get(field) or ()):
                _validate_address(address, at.child(field).index(j), errors)
        ports = subset.get("ports") or ()
        for j, port in enumerate(ports):
            _validate_port(port, at.child("ports").index(j), errors, named=len(ports) > 1)


def _validate_address(address: Obj, path: Path, errors: ErrorList) -> None:
    ip = address.get("ip") or ""
    why = special_ip(ip)
    if checks.name(ip, ip_address, path.child("ip"), errors) and why:
        errors.invalid(path.child("ip"), ip, why)
    if address.get("hostname"):
        checks.dns_label(address["hostname"], path.child("hostname"), errors)
    if address.get("nodeName") is not None:
        checks.dns_subdomain(address["nodeName"], path.child("nodeName"), errors)


def _validate_port(port: Obj, path: Path, errors: ErrorList, *, named: bool) -> None:
    name = port.get("name") or ""
    if named and not name:
        errors.required(path.child("name"))
    elif name:
        checks.dns_label(name, path.child("name"), errors)
    checks.port_number(port.get("port") or 0, path.child("port"), errors)
    protocol = port.get("protocol") or ""
    if checks.required(protocol, path.child("protocol"), errors):
        checks.one_of(protocol, PROTOCOLS, path.child("protocol"), errors)
    if port.get("appProtocol"):
        checks.qualified_name(port["appProtocol"], path.child("appProtocol"), errors)


STRATEGY = Strategy(validate=validate, default=default, has_status=False, create_on_update=True)
