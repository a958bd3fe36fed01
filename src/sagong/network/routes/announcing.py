"""Which node answers for a balancer's address on the nodes' own network, and telling neighbours so.

An address of a pool is no node's; whoever asks for it (ARP) must be answered by one node, which
then forwards like any other. That node is chosen by a hash of address and node, the highest wins:
every agent comes to the same choice by itself, and when a node goes only its own addresses move.
Under an external Local policy only nodes with a ready endpoint are asked. Pure but for
``announce``.
"""

import hashlib
import ipaddress
import logging
import socket
import struct
from collections.abc import Collection, Iterable, Mapping

from sagong.api.meta import condition, labels_of, name_of
from sagong.api.types import Obj
from sagong.network.routes.links import Links
from sagong.network.routes.nodes import internal_ip

log = logging.getLogger(__name__)

EXCLUDED_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_BROADCAST = b"\xff" * 6


def balancer_addresses(service: Obj) -> list[str]:
    """The IPv4 addresses of a service that our own balancer gave it."""
    spec = service["spec"]
    if spec.get("type") != "LoadBalancer" or spec.get("loadBalancerClass"):
        return []
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    found = (entry.get("ip") or "" for entry in ingress if entry.get("ipMode") != "Proxy")
    return [ip for ip in found if ip and ":" not in ip]


def plan_announced(
    services: Iterable[Obj],
    nodes: Collection[Obj],
    node_name: str,
    serving: Mapping[str, Collection[str]],
) -> frozenset[str]:
    """The addresses that this node answers for.

    ``serving`` has, by "namespace/name" of services with an external Local policy, the nodes with a
    ready endpoint.
    """
    of_nodes = {internal_ip(node) for node in nodes}
    able = [name_of(node) for node in nodes if _is_able(node)]
    announced: set[str] = set()
    for service in services:
        candidates: Collection[str] = able
        if service["spec"].get("externalTrafficPolicy") == "Local":
            metadata = service["metadata"]
            here = serving.get(f"{metadata.get('namespace', '')}/{metadata['name']}", ())
            candidates = [name for name in able if name in here]
        for ip in balancer_addresses(service):
            if ip not in of_nodes and candidates and _owner(ip, candidates) == node_name:
                announced.add(ip)
    return frozenset(announced)


def _is_able(node: Obj) -> bool:
    ready = condition(node, "Ready")
    return EXCLUDED_LABEL not in labels_of(node) and ready is not None and ready["status"] == "True"


def _owner(ip: str, nodes: Collection[str]) -> str:
    return max(nodes, key=lambda name: hashlib.sha256(f"{ip} {name}".encode()).digest())


def announce(ip: str) -> None:
    """Tell the link that has the address's network that it is here now (a gratuitous ARP).

    Where no link has, routers know the way, and there is nobody to tell.
    """
    link = _link_of(ip)
    if link is None:
        return
    name, hardware = link
    address = ipaddress.IPv4Address(ip).packed
    ethernet = _BROADCAST + hardware + struct.pack("!H", 0x0806)
    arp = _ARP.pack(1, 0x0800, 6, 4, 1, hardware, address, _BROADCAST, address)
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((name, 0))
            raw.send(ethernet + arp)
    except OSError as error:
        log.warning("neighbours on %s were not told of %s: %s", name, ip, error)


def _link_of(ip: str) -> tuple[str, bytes] | None:
    """Name and hardware address of the link whose network has the address."""
    wanted = ipaddress.IPv4Address(ip)
    with Links() as links:
        for entry in links.addresses():
            if ":" in entry.address or entry.prefix_length == 32:
                continue
            interface = ipaddress.IPv4Interface(f"{entry.address}/{entry.prefix_length}")
            if wanted in interface.network:
                hardware = links.hardware_address(entry.device)
                if any(hardware):
                    return socket.if_indextoname(entry.device), hardware
    return None
