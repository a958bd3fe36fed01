"""Forgetting UDP flows whose endpoint is gone.

A UDP flow has no end, so that a client that keeps its source port would be sent to a dead endpoint
for ever; TCP finds out by itself. Upstream does the same for UDP services only.
"""

import asyncio
import logging
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sagong.core.netlink import (
    NETFILTER,
    Netlink,
    NetlinkError,
    attribute,
    attributes,
    nested,
)
from sagong.network.tables.family import IPV4, IPV6, Family, family_of_address

log = logging.getLogger(__name__)

_UDP = 17

# linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h: messages of connection tracking (subsystem
# 1), each with a header of family, version and a number that is not used; attributes.
_GET, _DELETE = 0x101, 0x102
_HEADER_BYTES = 4
_ORIGINAL, _REPLY = 1, 2
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
# Numbers of the source and of the destination among a packet's addresses.
_ADDRESSES = {IPV4: (1, 2), IPV6: (3, 4)}
_PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3

# (service address, service port) -> the (address, port) pairs that may answer for it. A node port
# has the address "": it is on every address of the node. All are of one family.
UdpServices = Mapping[tuple[str, int], Collection[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked UDP flow: where the client sent to, and who answers."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    answering: str
    answering_port: int


def plan_forgotten(flows: Collection[Flow], services: UdpServices) -> tuple[Flow, ...]:
    """The flows to a service that someone else than an endpoint of it answers. Pure.

    Those also that were not rewritten at all, as the service had no endpoint when they began.
    """
    return tuple(flow for flow in flows if _is_stale(flow, services))


def _is_stale(flow: Flow, services: UdpServices) -> bool:
    endpoints = services.get((flow.destination, flow.destination_port))
    if endpoints is None and flow.answering != flow.destination:
        endpoints = services.get(("", flow.destination_port))
    return endpoints is not None and (flow.answering, flow.answering_port) not in endpoints


class Conntrack:
    """The kernel's connection tracking, in the network namespace that this process is in."""

    async def forget(self, services: UdpServices, family: Family = IPV4) -> int:
        """Drop the stale flows of these services; how many. Failures are logged: flows expire."""
        if not services:
            return 0
        return await asyncio.to_thread(_forget, dict(services), family)


def _forget(services: UdpServices, family: Family) -> int:
    try:
        with Netlink(NETFILTER) as kernel:
            every = kernel.dump(_GET, _header(family))
            flows = [flow for flow in map(read_flow, every) if flow is not None]
            stale = plan_forgotten(flows, services)
            for flow in stale:
                _delete(kernel, flow)
    except OSError as error:
        log.warning("stale UDP flows were not removed: %s", error)
        return 0
    return len(stale)


def _header(family: Family) -> bytes:
    return bytes((family.socket_family, 0, 0, 0))


def _delete(kernel: Netlink, flow: Flow) -> None:
    try:
        kernel.change(_DELETE, _header(family_of_address(flow.source)) + original_of(flow))
    except NetlinkError as error:
        log.debug("flow %s is gone already: %s", flow, error)


def original_of(flow: Flow) -> bytes:
    """The attribute that names a flow to the kernel: what its client sent."""
    family = family_of_address(flow.source)
    source, destination = _ADDRESSES[family]
    addresses = nested(
        _TUPLE_IP,
        attribute(source, socket.inet_pton(family.socket_family, flow.source)),
        attribute(destination, socket.inet_pton(family.socket_family, flow.destination)),
    )
    protocol = nested(
        _TUPLE_PROTOCOL,
        attribute(_PROTOCOL, bytes([_UDP])),
        attribute(_SOURCE_PORT, flow.source_port.to_bytes(2)),
        attribute(_DESTINATION_PORT, flow.destination_port.to_bytes(2)),
    )
    return nested(_ORIGINAL, addresses, protocol)


def read_flow(message: bytes) -> Flow | None:
    """The flow of a message of the kernel's; None if it is not UDP."""
    found = attributes(message[_HEADER_BYTES:])
    original, reply = _tuple(found.get(_ORIGINAL, b"")), _tuple(found.get(_REPLY, b""))
    if original is None or reply is None:
        return None
    return Flow(*original, answering=reply[0], answering_port=reply[1])


def _tuple(data: bytes) -> tuple[str, int, str, int] | None:
    """Source and destination with their ports, of a UDP packet."""
    parts = attributes(data)
    addresses = attributes(parts.get(_TUPLE_IP, b""))
    protocol = attributes(parts.get(_TUPLE_PROTOCOL, b""))
    if protocol.get(_PROTOCOL) != bytes([_UDP]):
        return None
    for family, (source, destination) in _ADDRESSES.items():
        if source in addresses:
            return (
                socket.inet_ntop(family.socket_family, addresses[source]),
                int.from_bytes(protocol[_SOURCE_PORT]),
                socket.inet_ntop(family.socket_family, addresses[destination]),
                int.from_bytes(protocol[_DESTINATION_PORT]),
            )
    return None
