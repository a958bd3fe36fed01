"""A route to every other node's pods by way of that node, and one to the services. Pure plan,
netlink apply.

A node on another link is reached by the device that encapsulates (``tunnel.py``). Our routes carry
a protocol number of their own, which is how they are told from everybody else's.
"""

import errno
import itertools
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sagong.api.address_ranges import family_of
from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.core.netlink import NetlinkError
from sagong.network.routes.links import SCOPE_LINK, Links, Route, index_of
from sagong.network.routes.nodes import internal_ip, pod_cidr
from sagong.network.routes.tunnel import Tunnel, gateway_of
from sagong.network.routes.vxlan import DEVICE
from sagong.network.tables.family import FAMILIES, range_of

log = logging.getLogger(__name__)

ROUTE_PROTOCOL = 83  # unassigned in iproute2's rt_protos


@dataclass(frozen=True, slots=True)
class Hop:
    """How a destination is reached: by a gateway, or straight out of the device that has the
    source address."""

    gateway: str = ""
    source: str = ""
    by_tunnel: bool = False  # the gateway is on the device that encapsulates


Routes = Mapping[str, Hop]


def plan_routes(
    nodes: Iterable[Obj], node_name: str, service_cidrs: str, far: Collection[str] = ()
) -> Routes:
    """The routes that this node should have, of both families where nodes have both; without those
    to ``far`` nodes.

    Those to the services are for the node's own programs on a host without a default route: a
    packet needs some route before its service address is rewritten, and then gets another.
    """
    routes: dict[str, Hop] = {}
    for node, family in itertools.product(nodes, FAMILIES):
        address, cidr = internal_ip(node, family), pod_cidr(node, family)
        if address is None or name_of(node) in far:
            continue
        if name_of(node) == node_name:
            if service_cidr := range_of(service_cidrs, family):
                routes[service_cidr] = Hop(source=address)
        elif cidr is not None:
            routes[cidr] = Hop(gateway=address)
    return routes


def plan_far_routes(tunnel: Tunnel | None) -> Routes:
    """The routes to the pods of far nodes, of the families that this node has pods of."""
    if tunnel is None:
        return {}
    own = {family_of(cidr): gateway_of(cidr) for cidr in tunnel.cidrs}
    return {
        cidr: Hop(gateway_of(cidr), own[family_of(cidr)], by_tunnel=True)
        for peer in tunnel.peers
        for cidr in peer.cidrs
        if family_of(cidr) in own
    }


def apply_routes(desired: Routes) -> tuple[str, ...]:
    """Bring the kernel's main table in step; one line for each route that could not be set."""
    failures: list[str] = []
    tunnel = index_of(DEVICE)
    with Links() as links:
        present = {
            route.destination: _hop(route, tunnel)
            for route in links.routes()
            if route.protocol == ROUTE_PROTOCOL
        }
        for destination in present.keys() - desired.keys():
            _change(links, "del", destination, present[destination], failures)
        for destination, hop in desired.items():
            if present.get(destination) != hop:
                _change(links, "replace", destination, hop, failures)
    return tuple(failures)


def is_on_link(address: str) -> bool:
    """Whether an address is reached without a router; also where no route leads to it at all."""
    with Links() as links:
        try:
            return not links.route_to(address).gateway
        except NetlinkError:
            return True


def remove_link(name: str) -> None:
    """Take a network device away, if it is there."""
    device = index_of(name)
    if device is not None:
        with Links() as links:
            links.remove(device)


def _change(links: Links, verb: str, destination: str, hop: Hop, failures: list[str]) -> None:
    try:
        if verb == "replace":
            links.replace_route(_route(links, destination, hop))
        else:
            # By its destination and ours alone: its device may be gone already.
            links.remove_route(destination, ROUTE_PROTOCOL)
    except NetlinkError as error:
        by = hop.gateway or hop.source
        failures.append(f"{verb} route {destination} by {by}: {error}")


def _route(links: Links, destination: str, hop: Hop) -> Route:
    if hop.by_tunnel:
        device = index_of(DEVICE)
        if device is None:
            raise NetlinkError(errno.ENODEV, f"there is no {DEVICE}")
        return Route(
            destination,
            ROUTE_PROTOCOL,
            gateway=hop.gateway,
            source=hop.source,
            device=device,
            is_on_link=True,
        )
    if hop.gateway:
        return Route(destination, ROUTE_PROTOCOL, gateway=hop.gateway)
    device = _device_with(links, hop.source)
    return Route(destination, ROUTE_PROTOCOL, source=hop.source, device=device, scope=SCOPE_LINK)


def _hop(route: Route, tunnel: int | None) -> Hop:
    by_tunnel = tunnel is not None and route.device == tunnel
    return Hop(route.gateway, route.source, by_tunnel)


def _device_with(links: Links, address: str) -> int:
    """The index of the device that has an address. Raises NetlinkError if there is none."""
    for entry in links.addresses():
        if entry.address == address:
            return entry.device
    raise NetlinkError(errno.EADDRNOTAVAIL, f"no device has {address}")
