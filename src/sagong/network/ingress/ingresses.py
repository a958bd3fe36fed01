"""What Ingresses say is served. Pure.

Source of semantics: ``networking/v1 Ingress``; which are ours says ``api/ingress.py``. Of two rules
for the same host and path the older Ingress has it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sagong.api.meta import key_of, namespace_of
from sagong.api.types import Obj
from sagong.network.ingress.config import Ports
from sagong.network.ingress.model import Backend, Certificate, Choice, Match, Server, Site, Sites

_HTTP2 = ("kubernetes.io/h2c", "h2c", "grpc")

# The ready addresses of a service's endpoints for a port of it, by the port's name.
Endpoints = Callable[[Obj, str], Iterable[tuple[str, int]]]
# A service, by namespace and name.
Services = Callable[[str, str], Obj | None]


@dataclass(frozen=True, slots=True)
class Cluster:
    """What Ingresses refer to."""

    service: Services
    endpoints: Endpoints
    # Of secrets that could be read, by namespace and name: certificate and key, PEM.
    pairs: Mapping[tuple[str, str], bytes]


def plan_sites(ingresses: Iterable[Obj], cluster: Cluster, ports: Ports) -> Sites:
    """What is served for these Ingresses, which are all ours: the same with TLS and without."""
    routes: dict[Match, tuple[Choice, ...]] = {}
    certificates: dict[tuple[str, str], set[str]] = {}
    default: Backend | None = None
    for ingress in sorted(ingresses, key=_age):
        spec = ingress["spec"]
        for rule in spec.get("rules") or ():
            for match, backend in _routes(ingress, rule, cluster):
                routes.setdefault(match, (Choice(backend),))
        for entry in spec.get("tls") or ():
            key = (namespace_of(ingress), entry.get("secretName") or "")
            if key in cluster.pairs:
                certificates.setdefault(key, set()).update(entry.get("hosts") or ())
        if spec.get("defaultBackend") and default is None and not spec.get("rules"):
            default = _backend(ingress, spec["defaultBackend"], cluster)
    made = tuple(
        Certificate(f"{namespace}_{name}", cluster.pairs[namespace, name], tuple(sorted(hosts)))
        for (namespace, name), hosts in sorted(certificates.items())
    )
    if not routes and default is None:
        return {}
    return {
        (ports.http, False): Site(routes, default),
        (ports.https, True): Site(routes, default, made),
    }


def _age(ingress: Obj) -> tuple[str, str]:
    return str(ingress["metadata"].get("creationTimestamp", "")), str(key_of(ingress))


def _routes(ingress: Obj, rule: Obj, cluster: Cluster) -> Iterable[tuple[Match, Backend]]:
    host = (rule.get("host") or "").lower()
    fallback = ingress["spec"].get("defaultBackend")
    for path in (rule.get("http") or {}).get("paths") or ():
        backend = _backend(ingress, path["backend"], cluster)
        exact = path.get("pathType") == "Exact"
        given = path.get("path") or "/"
        # Neither a prefix's last slash nor a map's line can hold more than a path has.
        if not any(c.isspace() for c in given):
            yield Match(host, given if exact else given.rstrip("/") or "/", exact), backend
    if fallback:
        yield Match(host), _backend(ingress, fallback, cluster)


def _backend(ingress: Obj, said: Obj, cluster: Cluster) -> Backend:
    """Resource backends are no service; nothing of ours serves them: 503."""
    wanted = said.get("service") or {}
    name, port = wanted.get("name") or "none", wanted.get("port") or {}
    given = str(port.get("name") or port.get("number") or "")
    label = f"{namespace_of(ingress)}.{name}.{given}"
    return Backend(label, tuple(servers_of(cluster, namespace_of(ingress), name, port)))


def servers_of(
    cluster: Cluster, namespace: str, name: str, port: Obj, weight: int = 1
) -> Iterable[Server]:
    """Where a service's port leads; nothing if there is none."""
    service = cluster.service(namespace, name)
    if service is None:
        return
    entry, spec = _port(service, port), service["spec"]
    if spec.get("type") == "ExternalName":
        if number := port.get("number") or (entry or {}).get("port"):
            yield Server(spec["externalName"], number, weight)
        return
    if entry is None:
        return
    protocol = str(entry.get("appProtocol") or "").lower()
    tls, http2 = protocol == "https", protocol in _HTTP2
    if spec.get("clusterIP") not in (None, "", "None"):
        # The service proxy spreads connections: endpoints may come and go without us.
        yield Server(spec["clusterIP"], entry["port"], weight, tls=tls, http2=http2)
        return
    for ip, number in sorted(cluster.endpoints(service, entry.get("name") or "")):
        yield Server(ip, number, weight, tls=tls, http2=http2)


def _port(service: Obj, wanted: Obj) -> Obj | None:
    for port in service["spec"].get("ports") or ():
        if wanted.get("name") and port.get("name") == wanted["name"]:
            return dict(port)
        if wanted.get("number") and port["port"] == wanted["number"]:
            return dict(port)
    return None


def ready_addresses(slices: Iterable[Obj], port_name: str) -> Iterable[tuple[str, int]]:
    """Addresses and port numbers of a service's ready endpoints: of IPv4, where it has any."""
    every = tuple(slices)
    of_ipv4 = any(piece.get("addressType") == "IPv4" for piece in every)
    for piece in every:
        if piece.get("addressType") != ("IPv4" if of_ipv4 else "IPv6"):
            continue
        for port in piece.get("ports") or ():
            if (port.get("name") or "") != port_name or not port.get("port"):
                continue
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is not False:
                    yield endpoint["addresses"][0], int(port["port"])
