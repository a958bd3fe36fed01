"""A route to every other node's pods by way of that node, and one to the services. Pure plan,
netlink apply.

Nodes must reach each other directly (one network segment): there is no tunnel. Our routes carry a
protocol number of their own, which is how they are told from everybody else's.
"""

import ipaddress
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sagong.api.meta import name_of
from sagong.api.types import Obj

log = logging.getLogger(__name__)

ROUTE_PROTOCOL = 83  # unassigned in iproute2's rt_protos
_RT_TABLE_MAIN = 254
_AF_INET = 2


@dataclass(frozen=True, slots=True)
class Hop:
    """How a destination is reached: by a gateway, or straight out of a device."""

    gateway: str = ""
    device: str = ""
    source: str = ""  # preferred source address


Routes = Mapping[str, Hop]


def internal_ip(node: Obj) -> str | None:
    """A node's first IPv4 InternalIP."""
    for address in (node.get("status") or {}).get("addresses") or ():
        if address.get("type") == "InternalIP" and ":" not in address["address"]:
            return str(address["address"])
    return None


def pod_cidr(node: Obj) -> str | None:
    """A node's IPv4 pod CIDR."""
    spec = node.get("spec") or {}
    for cidr in spec.get("podCIDRs") or [spec.get("podCIDR") or ""]:
        if cidr and ":" not in cidr:
            return str(ipaddress.IPv4Network(cidr, strict=False))
    return None


def plan_routes(nodes: Iterable[Obj], node_name: str, service_cidr: str) -> Routes:
    """The routes that this node should have.

    The one to the services is for the node's own programs on a host without a default route: a
    packet needs some route before its service address is rewritten, and then gets another. It also
    keeps addresses of services that do not exist from leaving the host.
    """
    routes: dict[str, Hop] = {}
    for node in nodes:
        address, cidr = internal_ip(node), pod_cidr(node)
        if name_of(node) == node_name:
            if address is not None:
                routes[service_cidr] = Hop(device="lo", source=address)
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
        netlink.route(verb, **_arguments(netlink, destination, hop))
    except NetlinkError as error:
        failures.append(f"{verb} route {destination} {hop.gateway or hop.device}: {error}")


def _arguments(netlink: Any, destination: str, hop: Hop) -> dict[str, Any]:
    arguments: dict[str, Any] = {"dst": destination, "proto": ROUTE_PROTOCOL}
    if hop.gateway:
        arguments["gateway"] = hop.gateway
    if hop.device:
        arguments["oif"] = netlink.link_lookup(ifname=hop.device)[0]
    if hop.source:
        arguments["prefsrc"] = hop.source
    return arguments


def _present(netlink: Any) -> dict[str, Hop]:
    """Our routes as the kernel has them."""
    names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in netlink.get_links()}
    found: dict[str, Hop] = {}
    for route in netlink.get_routes(family=_AF_INET, table=_RT_TABLE_MAIN):
        if route["proto"] != ROUTE_PROTOCOL:
            continue
        gateway = route.get_attr("RTA_GATEWAY") or ""
        found[f"{route.get_attr('RTA_DST')}/{route['dst_len']}"] = Hop(
            gateway=gateway,
            device="" if gateway else names.get(route.get_attr("RTA_OIF"), ""),
            source=route.get_attr("RTA_PREFSRC") or "",
        )
    return found
