"""Where a webhook or an aggregated API server listens: a URL, or a service's endpoints. Pure.

A service is resolved to the addresses of its ready endpoints, as a server with
``--enable-aggregator-routing`` does: this server may run where service addresses lead nowhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagong.api.types import Obj
from sagong.server.admission.interface import Lister

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVICE_LABEL = "kubernetes.io/service-name"
SLICES = "endpointslices.discovery.k8s.io"
_SERVED_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")


class Unresolved(Exception):
    """There is nothing to connect to; the text is what upstream's resolver says."""


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """A port of a service."""

    namespace: str
    name: str
    port: int

    @property
    def host(self) -> str:
        """The name that its certificate must bear."""
        return f"{self.name}.{self.namespace}.svc"


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """What a ``clientConfig`` names: a whole URL, or a service and a path."""

    url: str  # as messages show it
    service: ServiceRef | None
    ca_bundle: str  # base64 of PEM; "" for the machine's own roots


def target_of(config: Obj) -> Target:
    """A ``clientConfig`` of a webhook, whatever its kind."""
    bundle = config.get("caBundle") or ""
    service = config.get("service")
    if service is None:
        return Target(config.get("url") or "", None, bundle)
    ref = ServiceRef(service["namespace"], service["name"], int(service.get("port") or 443))
    path = service.get("path") or ""
    return Target(f"https://{ref.host}:{ref.port}{path}", ref, bundle)


def locate(lister: Lister, ref: ServiceRef, random: "Callable[[], float]") -> Address:
    """A ready endpoint of a service's port. Raises Unresolved."""
    found = lister.get("services", ref.namespace, ref.name)
    if found is None:
        raise Unresolved(f'service "{ref.name}" not found')
    spec = found.obj["spec"]
    port = next((p for p in spec.get("ports") or () if p["port"] == ref.port), None)
    if spec.get("type") == "ExternalName":
        return Address(spec["externalName"], ref.port)
    if spec.get("type", "ClusterIP") not in _SERVED_TYPES:
        raise Unresolved(f'unsupported service type "{spec["type"]}"')
    if port is None:
        raise Unresolved(f'no service port {ref.port} found for service "{ref.name}"')
    addresses = ready_addresses(_slices(lister, ref), port.get("name") or "")
    if not addresses:
        raise Unresolved(f'no endpoints available for service "{ref.name}"')
    return addresses[int(random() * len(addresses))]


def _slices(lister: Lister, ref: ServiceRef) -> Iterable[Obj]:
    for item in lister.list(SLICES, ref.namespace):
        if (item.obj["metadata"].get("labels") or {}).get(_SERVICE_LABEL) == ref.name:
            yield item.obj


def ready_addresses(slices: Iterable[Obj], port_name: str) -> list[Address]:
    """Every ready endpoint of a named port."""
    return [
        Address(address, int(port["port"]))
        for piece in slices
        for port in piece.get("ports") or ()
        if (port.get("name") or "") == port_name and port.get("port")
        for endpoint in piece.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint["addresses"]
    ]
