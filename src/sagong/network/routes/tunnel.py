"""Pods of nodes that share no link with this one: what is sent to them goes encapsulated (VXLAN).

Pure. Every node has one device of that kind, as flannel does it, and no node tells another
anything: its hardware address there is made from its name, its address there is the first of its
pods' range. So a packet for a far node's pods goes to that node's address "on" the device, whose
hardware address and real address stand in two tables of the kernel's. The node itself sends from
its own address on the device, so that answers come back the same way: a router between nodes knows
nothing of pods.
"""

import enum
import hashlib
import ipaddress
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from sagong.api.meta import name_of
from sagong.api.types import Obj
from sagong.network.routes.nodes import internal_ip, pod_cidrs
from sagong.network.tables.family import FAMILIES


class Encapsulation(enum.StrEnum):
    """When packets between nodes are encapsulated."""

    AUTO = "auto"  # between nodes that share no link
    ALWAYS = "always"  # for links that carry no addresses of pods
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Peer:
    """A far node."""

    address: str  # where it is really reached
    hardware_address: bytes
    cidrs: tuple[str, ...]  # of its pods, one of each family


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The device of this node, and who is reached by it."""

    local: str
    hardware_address: bytes
    cidrs: tuple[str, ...]
    peers: tuple[Peer, ...]


def far_nodes(
    nodes: Iterable[Obj],
    node_name: str,
    mode: Encapsulation,
    is_on_link: Callable[[str], bool],
) -> frozenset[str]:
    """The names of nodes that packets have to be encapsulated for.

    ``is_on_link`` says whether an address is reached without a router.
    """
    if mode is Encapsulation.NEVER:
        return frozenset()
    others = (node for node in nodes if name_of(node) != node_name)
    return frozenset(
        name_of(node)
        for node in others
        if (address := _address_of(node))
        and (mode is Encapsulation.ALWAYS or not is_on_link(address))
    )


def plan_tunnel(nodes: Collection[Obj], node_name: str, far: Collection[str]) -> Tunnel | None:
    """None where nobody is far, or this node has no address or range yet."""
    own = next((node for node in nodes if name_of(node) == node_name), None)
    if own is None or not far:
        return None
    local, cidrs = _address_of(own), pod_cidrs(own)
    if not local or not cidrs:
        return None
    version = ipaddress.ip_address(local).version
    peers = (
        Peer(address, hardware_address_of(name_of(node)), pod_cidrs(node))
        for node in nodes
        if name_of(node) in far and (address := _address_of(node)) and pod_cidrs(node)
        # The real packet is of the family of this end.
        if ipaddress.ip_address(address).version == version
    )
    ordered = tuple(sorted(peers, key=lambda peer: peer.address))
    return Tunnel(local, hardware_address_of(node_name), cidrs, ordered)


def gateway_of(cidr: str) -> str:
    """The address on the device of the node whose pods have a range."""
    return str(ipaddress.ip_network(cidr).network_address)


def hardware_address_of(node_name: str) -> bytes:
    """Locally administered, of one station."""
    return b"\x0a" + hashlib.sha256(node_name.encode()).digest()[:5]


def _address_of(node: Obj) -> str:
    """A node's primary address: of IPv4 if it has one."""
    return next((ip for family in FAMILIES if (ip := internal_ip(node, family))), "")
