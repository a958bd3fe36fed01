"""A route to every other node's pods by way of that node, and one to the services. Pure plan,
netlink apply.

Nodes must reach each other directly (one network segment): there is no tunnel. Our routes carry a
protocol number of their own, which is how they are told from everybody else's.
"""

import errno
import logging
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.network.routes.nodes import internal_ip, pod_cidr

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


def plan_routes(nodes: Iterable[Obj], node_name: str, service_cidr: str) -> Routes:
    """The routes that this node should have.

    The one to the services is for the node's own programs on a host without a default route: a
    packet needs some route before its service address is rewritten, and then gets another.
    """
    routes: dict[str, Hop] = {}
    for node in nodes:
        address, cidr = internal_ip(node), pod_cidr(node)
        if name_of(node) == node_name:
            if address is not None:
                routes[service_cidr] = Hop(source=address)
        elif address is not None and cidr is not None:
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
    arguments: dict[str, Any] = {"dst": destination, "proto": ROUTE_PROTOCOL}
    if hop is None:
        return {**arguments, "scope": _RT_SCOPE_NOWHERE}  # of any scope
    if hop.gateway:
        arguments["gateway"] = hop.gateway
    else:
        arguments |= {"oif": _device_with(netlink, hop.source), "prefsrc": hop.source}
        arguments["scope"] = _RT_SCOPE_LINK
    return arguments


def _device_with(netlink: Any, address: str) -> int:
    """The index of the device that has an address. Raises NetlinkError if there is none."""
    for entry in netlink.get_addr(family=socket.AF_INET, address=address):
        return int(entry["index"])
    raise NetlinkError(errno.EADDRNOTAVAIL, f"no device has {address}")


def _present(netlink: Any) -> dict[str, Hop]:
    """Our routes as the kernel has them."""
    found: dict[str, Hop] = {}
    for route in netlink.get_routes(family=socket.AF_INET, table=_RT_TABLE_MAIN):
        if route["proto"] == ROUTE_PROTOCOL:
            found[f"{route.get_attr('RTA_DST')}/{route['dst_len']}"] = Hop(
                gateway=route.get_attr("RTA_GATEWAY") or "",
                source=route.get_attr("RTA_PREFSRC") or "",
            )
    return found
