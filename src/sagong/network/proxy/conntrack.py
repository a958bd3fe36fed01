"""Forgetting UDP flows whose endpoint is gone.

A UDP flow has no end, so that a client that keeps its source port would be sent to a dead endpoint
for ever; TCP finds out by itself. Upstream does the same for UDP services only.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

from sagong.network.tables.family import IPV4, Family

log = logging.getLogger(__name__)

_UDP = 17

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
        with NFCTSocket(nfgen_family=family.socket_family) as socket:
            flows = [flow for flow in map(_flow, socket.dump()) if flow is not None]
            stale = plan_forgotten(flows, services)
            for flow in stale:
                _delete(socket, flow)
    except OSError as error:
        log.warning("stale UDP flows were not removed: %s", error)
        return 0
    return len(stale)


def _delete(socket: Any, flow: Flow) -> None:
    original = NFCTAttrTuple(
        family=AF_INET6 if ":" in flow.source else AF_INET,
        saddr=flow.source,
        daddr=flow.destination,
        proto=_UDP,
        sport=flow.source_port,
        dport=flow.destination_port,
    )
    try:
        socket.entry("del", tuple_orig=original)
    except OSError as error:
        log.debug("flow %s is gone already: %s", flow, error)


def _flow(message: Any) -> Flow | None:
    original = message.get_attr("CTA_TUPLE_ORIG")
    reply = message.get_attr("CTA_TUPLE_REPLY")
    if original is None or reply is None:
        return None
    protocol = original.get_attr("CTA_TUPLE_PROTO")
    if protocol is None or protocol.get_attr("CTA_PROTO_NUM") != _UDP:
        return None
    addresses, answer = original.get_attr("CTA_TUPLE_IP"), reply.get_attr("CTA_TUPLE_IP")
    answer_protocol = reply.get_attr("CTA_TUPLE_PROTO")
    ip = "CTA_IP_V4" if addresses.get_attr("CTA_IP_V4_SRC") is not None else "CTA_IP_V6"
    if addresses.get_attr(f"{ip}_SRC") is None:
        return None
    return Flow(
        source=addresses.get_attr(f"{ip}_SRC"),
        source_port=protocol.get_attr("CTA_PROTO_SRC_PORT"),
        destination=addresses.get_attr(f"{ip}_DST"),
        destination_port=protocol.get_attr("CTA_PROTO_DST_PORT"),
        answering=answer.get_attr(f"{ip}_SRC"),
        answering_port=answer_protocol.get_attr("CTA_PROTO_SRC_PORT"),
    )
