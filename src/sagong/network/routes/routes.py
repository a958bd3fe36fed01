"""A route to every other node's pods by way of that node, and one to the services. Pure plan,
netlink apply.

Nodes must reach each other directly (one network segment): there is no tunnel. Our routes carry a
protocol number of their own, which is how they are told from everybody else's.
"""

import errno
import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.core.netlink import NetlinkError
from sagong.network.routes.links import SCOPE_LINK, Links, Route, index_of
from sagong.network.routes.nodes import internal_ip, pod_cidr
from sagong.network.tables.family import FAMILIES, range_of

log = logging.getLogger(__name__)

ROUTE_PROTOCOL = 83  # unassigned in iproute2's rt_protos


@dataclass(frozen=True, slots=True)
class Hop:
    """How a destination is reached: by a gateway, or straight out of the device that has the
    source address."""

    gateway: str = ""
    source: str = ""


Routes = Mapping[str, Hop]


def plan_routes(nodes: Iterable[Obj], node_name: str, service_cidrs: str) -> Routes:
    """The routes that this node should have, of both families where nodes have both.

    Those to the services are for the node's own programs on a host without a default route: a
    packet needs some route before its service address is rewritten, and then gets another.
    """
    routes: dict[str, Hop] = {}
    for node, family in itertools.product(nodes, FAMILIES):
        address, cidr = internal_ip(node, family), pod_cidr(node, family)
        if address is None:
            continue
        if name_of(node) == node_name:
            if service_cidr := range_of(service_cidrs, family):
                routes[service_cidr] = Hop(source=address)
        elif cidr is not None:
            routes[cidr] = Hop(gateway=address)
    return routes


def apply_routes(desired: Routes) -> tuple[str, ...]:
    """Bring the kernel's main table in step; one line for each route that could not be set."""
    failures: list[str] = []
    with Links() as links:
        present = {
            route.destination: Hop(route.gateway, route.source)
            for route in links.routes()
            if route.protocol == ROUTE_PROTOCOL
        }
        for destination in present.keys() - desired.keys():
            _change(links, "del", destination, present[destination], failures)
        for destination, hop in desired.items():
            if present.get(destination) != hop:
                _change(links, "replace", destination, hop, failures)
    return tuple(failures)


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
    if hop.gateway:
        return Route(destination, ROUTE_PROTOCOL, gateway=hop.gateway)
    device = _device_with(links, hop.source)
    return Route(destination, ROUTE_PROTOCOL, source=hop.source, device=device, scope=SCOPE_LINK)


def _device_with(links: Links, address: str) -> int:
    """The index of the device that has an address. Raises NetlinkError if there is none."""
    for entry in links.addresses():
        if entry.address == address:
            return entry.device
    raise NetlinkError(errno.EADDRNOTAVAIL, f"no device has {address}")
