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
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sagong.api.address_ranges import family_of
from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.network.routes.nodes import internal_ip, pod_cidr
from sagong.network.tables.family import FAMILIES, IPV4, Family, family_named, range_of

log = logging.getLogger(__name__)

ROUTE_PROTOCOL = 83  # unassigned in iproute2's rt_protos
_RT_TABLE_MAIN = 254
_RT_SCOPE_LINK = 253
_RT_SCOPE_NOWHERE = 255


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
    with IPRoute() as netlink:
        present = _present(netlink)
        for destination in present.keys() - desired.keys():
            _change(netlink, "del", destination, present[destination], failures)
        for destination, hop in desired.items():
            if present.get(destination) != hop:
                _change(netlink, "replace", destination, hop, failures)
    return tuple(failures)


def remove_link(name: str) -> None:
    """Take a network device away, if it is there."""
    with IPRoute() as netlink:
        for index in netlink.link_lookup(ifname=name):
            netlink.link("del", index=index)


def _change(netlink: Any, verb: str, destination: str, hop: Hop, failures: list[str]) -> None:
    try:
        # A route is deleted by its destination and ours alone: its device may be gone already.
        arguments = _arguments(netlink, destination, hop if verb == "replace" else None)
        netlink.route(verb, **arguments)
    except NetlinkError as error:
        by = hop.gateway or hop.source
        failures.append(f"{verb} route {destination} by {by}: {error}")


def _arguments(netlink: Any, destination: str, hop: Hop | None) -> dict[str, Any]:
    family = _family_of(destination)
    arguments: dict[str, Any] = {
        "family": family.socket_family,
        "dst": destination,
        "proto": ROUTE_PROTOCOL,
    }
    if hop is None:
        # Of any scope, which routes of IPv6 do not have.
        return {**arguments, "scope": _RT_SCOPE_NOWHERE} if family is IPV4 else arguments
    if hop.gateway:
        arguments["gateway"] = hop.gateway
    else:
        arguments |= {"oif": _device_with(netlink, hop.source), "prefsrc": hop.source}
        if family is IPV4:
            arguments["scope"] = _RT_SCOPE_LINK
    return arguments


def _family_of(destination: str) -> Family:
    return family_named(family_of(destination))


def _device_with(netlink: Any, address: str) -> int:
    """The index of the device that has an address. Raises NetlinkError if there is none."""
    for entry in netlink.get_addr(family=_family_of(address).socket_family, address=address):
        return int(entry["index"])
    raise NetlinkError(errno.EADDRNOTAVAIL, f"no device has {address}")


def _present(netlink: Any) -> dict[str, Hop]:
    """Our routes as the kernel has them."""
    found: dict[str, Hop] = {}
    dumps = (
        netlink.get_routes(family=family.socket_family, table=_RT_TABLE_MAIN) for family in FAMILIES
    )
    for route in itertools.chain.from_iterable(dumps):
        if route["proto"] == ROUTE_PROTOCOL:
            found[f"{route.get_attr('RTA_DST')}/{route['dst_len']}"] = Hop(
                gateway=route.get_attr("RTA_GATEWAY") or "",
                source=route.get_attr("RTA_PREFSRC") or "",
            )
    return found
