"""Where the ``proxy`` subresource of pods, services and nodes leads. Pure.

Names may be ``name``, ``name:port`` and ``scheme:name:port``; refusals are upstream's
(``ResourceLocation`` of each kind).
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.errors import BadRequest, ServiceUnavailable
from sagong.api.types import Obj

_SCHEMES = ("", "http", "https")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Named:
    """The parts of a proxied object's name."""

    scheme: str  # http or https
    name: str
    port: str  # a number, a name, or ""

    def number(self, port: str) -> int:
        """A port's number, or the scheme's own. Raises BadRequest."""
        if not port:
            return _DEFAULT_PORTS[self.scheme]
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise BadRequest(f'invalid port "{port}"')
        return int(port)


@dataclass(frozen=True, slots=True)
class Location:
    host: str
    port: int
    is_https: bool


def split_name(text: str, kind: str) -> Named:
    """Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 3:
        scheme, name, port = parts
    elif len(parts) == 2:
        scheme, name, port = "", *parts
    else:
        scheme, name, port = "", text if len(parts) == 1 else "", ""
    if scheme not in _SCHEMES or not name:
        raise BadRequest(f'invalid {kind} request "{text}"')
    return Named(scheme or "http", name, port)


def pod_location(named: Named, pod: Obj) -> Location:
    """The pod's address, at the port asked for or the first it declares. Raises BadRequest."""
    address = str((pod.get("status") or {}).get("podIP") or "")
    port = named.port
    for container in () if port else pod["spec"].get("containers") or ():
        if ports := container.get("ports"):
            port = str(ports[0]["containerPort"])
            break
    if not _is_global_unicast(address):
        raise BadRequest("address not allowed")
    return Location(address, named.number(port), named.scheme == "https")


def service_port_name(named: Named, service: Obj | None) -> str:
    """The name of the port that is meant. Raises ServiceUnavailable."""
    if not named.port.isdigit() or service is None:
        return named.port
    for port in service["spec"].get("ports") or ():
        if port["port"] == int(named.port):
            return str(port.get("name") or "")
    raise ServiceUnavailable(f'no service port {named.port} found for service "{named.name}"')


def service_locations(named: Named, port_name: str, slices: Iterable[Obj]) -> list[Location]:
    """Every ready endpoint of the port."""
    found = []
    for piece in slices:
        for port in piece.get("ports") or ():
            if (port.get("name") or "") != port_name or not port.get("port"):
                continue
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready", True):
                    found += [
                        Location(address, int(port["port"]), named.scheme == "https")
                        for address in endpoint["addresses"]
                    ]
    return found


def _is_global_unicast(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (
        address.is_loopback or address.is_link_local or address.is_multicast
        or address.is_unspecified or text == "255.255.255.255"
    )  # fmt: skip
