"""Which endpoints a service port's traffic goes to, from this node.

Source of semantics: ``discovery/v1 EndpointSlice`` (an absent ``ready`` means ready, an absent
``serving`` means as ready) and upstream's order of preference: ready endpoints, narrowed by the
slices' hints; with none ready, those that serve while terminating.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.types import Obj
from sagong.network.proxy.services import ServicePort
from sagong.network.tables.family import IPV4, Family


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address and port behind a service port."""

    ip: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node_name: str = ""
    zone_hints: frozenset[str] = frozenset()
    node_hints: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Here:
    """Where the proxy runs, as far as the choice depends on it."""

    node_name: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Endpoints in use. ``local`` is filled only if one of the port's policies is Local."""

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    # Whether any node has a usable one: traffic that this node may not carry is then dropped, to be
    # tried again, and not refused.
    anywhere: bool = False
    # Addresses of those that may be pods of this node, which may reach themselves through us.
    hairpins: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Endpoint, ...]:
        return tuple(sorted({*self.cluster, *self.local}))


def endpoints_of(
    slices: Iterable[Obj], port: ServicePort, family: Family = IPV4
) -> tuple[Endpoint, ...]:
    """The endpoints of a family behind a service port, each address once, sorted."""
    found: dict[tuple[str, int], Endpoint] = {}
    for slice_ in slices:
        if slice_.get("addressType") != family.name:
            continue
        number = _port_number(slice_, port)
        if number is None:
            continue
        for entry in slice_.get("endpoints") or ():
            ip = next(family.addresses(entry["addresses"][:1]), None)
            if ip is None:
                continue
            endpoint = _endpoint(entry, ip, number)
            known = found.get((endpoint.ip, number))
            # An endpoint that moves between slices is for a moment in both: the better one counts.
            if known is None or _rank(endpoint) > _rank(known):
                found[endpoint.ip, number] = endpoint
    return tuple(found[key] for key in sorted(found))


def choose(endpoints: Iterable[Endpoint], port: ServicePort, here: Here) -> Chosen:
    """The endpoints that take traffic, as upstream's proxies choose them."""
    everything = tuple(endpoints)
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    if port.uses_cluster_endpoints:
        cluster = _narrowed([e for e in everything if e.ready], here) or _fallback(everything)
    if port.uses_local_endpoints:
        on_node = [e for e in everything if e.node_name == here.node_name]
        local = tuple(e for e in on_node if e.ready) or _fallback(on_node)
    anywhere = any(e.ready or (e.serving and e.terminating) for e in everything)
    here_or_unknown = ("", here.node_name)
    used = {e.ip for e in (*cluster, *local) if e.node_name in here_or_unknown}
    return Chosen(cluster, local, anywhere, tuple(sorted(used)))


def _port_number(slice_: Obj, port: ServicePort) -> int | None:
    for candidate in slice_.get("ports") or ():
        same_name = (candidate.get("name") or "") == port.name
        same_protocol = (candidate.get("protocol") or "TCP").lower() == port.protocol
        if same_name and same_protocol and candidate.get("port"):
            return int(candidate["port"])
    return None


def _endpoint(entry: Obj, ip: str, number: int) -> Endpoint:
    conditions = entry.get("conditions") or {}
    ready = conditions.get("ready")
    ready = True if ready is None else bool(ready)
    serving = conditions.get("serving")
    hints = entry.get("hints") or {}
    return Endpoint(
        ip=ip,
        port=number,
        ready=ready,
        serving=ready if serving is None else bool(serving),
        terminating=bool(conditions.get("terminating")),
        node_name=entry.get("nodeName") or "",
        zone_hints=frozenset(z["name"] for z in hints.get("forZones") or ()),
        node_hints=frozenset(n["name"] for n in hints.get("forNodes") or ()),
    )


def _rank(endpoint: Endpoint) -> tuple[bool, bool]:
    return endpoint.ready, endpoint.serving


def _fallback(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(e for e in endpoints if e.serving and e.terminating)


def _narrowed(ready: list[Endpoint], here: Here) -> tuple[Endpoint, ...]:
    """Keep to the hints, but only if every endpoint has them and some are meant for here."""
    if ready and all(e.node_hints for e in ready):
        for_node = tuple(e for e in ready if here.node_name in e.node_hints)
        if for_node:
            return for_node
    if ready and here.zone and all(e.zone_hints for e in ready):
        for_zone = tuple(e for e in ready if here.zone in e.zone_hints)
        if for_zone:
            return for_zone
    return tuple(ready)
