"""What the proxy needs of a Service, taken from the object once.

Source of semantics: ``core/v1 ServiceSpec`` and which services upstream's kube-proxy leaves alone.
Each family has a table of its own: addresses of the other one are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sagong.api.meta import annotations_of, key_of, labels_of
from sagong.api.types import Key, Obj
from sagong.network.tables.family import IPV4, Family

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
SOURCE_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"
AFFINITY_SECONDS_DEFAULT = 10800


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one service, with every address that it is reached at."""

    service: Key
    name: str
    protocol: str  # "tcp", "udp" or "sctp"
    port: int
    cluster_ip: str
    node_port: int = 0  # 0: none
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()  # CIDRs; empty: everyone may use the load balancer's IPs
    affinity_seconds: int | None = None  # None: no session affinity
    internal_local: bool = False
    external_local: bool = False
    health_check_port: int = 0  # 0: none

    @property
    def external_ips_all(self) -> tuple[str, ...]:
        """External IPs and the load balancer's."""
        return (*self.external_ips, *self.load_balancer_ips)

    @property
    def all_ips(self) -> tuple[str, ...]:
        """Every address but the node's own, which the node port is reached at."""
        return (self.cluster_ip, *self.external_ips_all)

    @property
    def is_external(self) -> bool:
        """Whether it can be reached from outside the cluster at all."""
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def uses_local_endpoints(self) -> bool:
        return self.internal_local or (self.external_local and self.is_external)

    @property
    def uses_cluster_endpoints(self) -> bool:
        """True also under an external Local policy: pods take a short cut past that policy."""
        return not self.internal_local or self.is_external


def is_proxied(service: Obj) -> bool:
    """False for headless and ExternalName services and for those of another proxy."""
    spec = service.get("spec") or {}
    labels = labels_of(service)
    if PROXY_NAME_LABEL in labels or HEADLESS_LABEL in labels:
        return False
    if spec.get("type") == "ExternalName":
        return False
    return spec.get("clusterIP") not in (None, "", "None")


def service_ports(service: Obj, family: Family = IPV4) -> tuple[ServicePort, ...]:
    """The ports to program, in the order of the object; none if the service is not proxied, or
    not of the family."""
    if not is_proxied(service):
        return ()
    spec = service["spec"]
    cluster_ip = next(family.addresses(spec.get("clusterIPs") or [spec["clusterIP"]]), None)
    if cluster_ip is None:
        return ()
    balancer_ips = tuple(_load_balancer_ips(service, family))
    external_ips = tuple(family.addresses(spec.get("externalIPs") or ()))
    source_ranges = _source_ranges(service, family)
    affinity_seconds = _affinity_seconds(spec)
    return tuple(
        ServicePort(
            service=key_of(service),
            name=port.get("name") or "",
            protocol=(port.get("protocol") or "TCP").lower(),
            port=port["port"],
            cluster_ip=cluster_ip,
            node_port=port.get("nodePort") or 0,
            external_ips=external_ips,
            load_balancer_ips=balancer_ips,
            source_ranges=source_ranges,
            affinity_seconds=affinity_seconds,
            internal_local=spec.get("internalTrafficPolicy") == "Local",
            external_local=spec.get("externalTrafficPolicy") == "Local",
            health_check_port=_health_check_port(spec),
        )
        for port in spec.get("ports") or ()
    )


def _health_check_port(spec: Obj) -> int:
    is_local = spec.get("externalTrafficPolicy") == "Local"
    asked = spec.get("type") == "LoadBalancer" and is_local
    return int(spec.get("healthCheckNodePort") or 0) if asked else 0


def _affinity_seconds(spec: Obj) -> int | None:
    if spec.get("sessionAffinity") != "ClientIP":
        return None
    client_ip = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(client_ip.get("timeoutSeconds") or AFFINITY_SECONDS_DEFAULT)


def _load_balancer_ips(service: Obj, family: Family) -> Iterator[str]:
    status = (service.get("status") or {}).get("loadBalancer") or {}
    # ipMode "Proxy" means that the balancer is to be passed through and not short-circuited.
    ingress = [i for i in status.get("ingress") or () if i.get("ipMode") != "Proxy"]
    return family.addresses(i.get("ip") or "" for i in ingress)


def _source_ranges(service: Obj, family: Family) -> tuple[str, ...]:
    if service["spec"].get("type") != "LoadBalancer":
        return ()
    ranges = service["spec"].get("loadBalancerSourceRanges")
    if not ranges:
        ranges = annotations_of(service).get(SOURCE_RANGES_ANNOTATION, "").split(",")
    return tuple(r.strip() for r in ranges if family.is_network(r.strip()))
