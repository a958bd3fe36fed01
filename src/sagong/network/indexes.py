"""How services and their slices are found in the cache; proxy and DNS share these indexes."""

from collections.abc import Iterable

from sagong.api.address_ranges import canonical_address
from sagong.api.meta import labels_of, namespace_of
from sagong.api.types import Obj

SERVICE_NAME_LABEL = "kubernetes.io/service-name"

SERVICES = "services"
SLICES = "endpointslices.discovery.k8s.io"
SERVICE_INDEX = "network/service"  # slices by "namespace/name" of their service
IP_INDEX = "network/ip"  # services by cluster IP, slices by their endpoints' addresses


def service_of_slice(slice_: Obj) -> Iterable[str]:
    name = service_name_of(slice_)
    return (f"{namespace_of(slice_)}/{name}",) if name else ()


def ips_of_service(service: Obj) -> Iterable[str]:
    spec = service.get("spec") or {}
    ips = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    return [ip for ip in ips if ip not in ("", "None")]


def ips_of_slice(slice_: Obj) -> Iterable[str]:
    given = (e["addresses"][0] for e in slice_.get("endpoints") or ())
    return {address for text in given if (address := canonical_address(text)) is not None}


def service_name_of(slice_: Obj) -> str:
    """The service that an EndpointSlice belongs to, or ""."""
    return labels_of(slice_).get(SERVICE_NAME_LABEL, "")


def ready_nodes(slices: Iterable[Obj]) -> frozenset[str]:
    """The nodes that have a ready endpoint."""
    return frozenset(
        endpoint.get("nodeName") or ""
        for slice_ in slices
        for endpoint in slice_.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
    )
