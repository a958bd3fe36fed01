"""An address that the node answers itself, put on its loopback device."""

import socket
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sagong.api.address_ranges import family_of
from sagong.network.tables.family import family_named

_EEXIST = 17
_EADDRNOTAVAIL = 99
_SCOPE_HOST = 254  # valid on this host only
_FOREVER = 0xFFFFFFFF  # seconds, as the kernel writes "for ever"


BALANCER_LABEL = "lo:sagong-lb"  # tells balancers' addresses from all others on the device


def add_local_address(address: str, label: str = "lo") -> None:
    """Give the loopback device an address, which pods of the node reach as they reach any of it:
    every device that a pod is linked to takes packets for it. Raises NetlinkError.

    Labels are IPv4's alone.
    """
    with IPRoute() as netlink:
        loopback = netlink.link_lookup(ifname="lo")[0]
        netlink.link("set", index=loopback, state="up")
        try:
            netlink.addr("add", index=loopback, **_arguments(address), **_unused(address, label))
        except NetlinkError as error:
            if error.code != _EEXIST:
                raise


def local_addresses(label: str) -> frozenset[str]:
    """The addresses on the loopback device with a label."""
    with IPRoute() as netlink:
        loopback = netlink.link_lookup(ifname="lo")[0]
        return frozenset(
            entry.get_attr("IFA_ADDRESS")
            for entry in netlink.get_addr(family=socket.AF_INET, index=loopback)
            if entry.get_attr("IFA_LABEL") == label
        )


def remove_local_address(address: str) -> None:
    """Undo add_local_address; nothing happens if the address is not there."""
    with IPRoute() as netlink:
        loopback = netlink.link_lookup(ifname="lo")[0]
        try:
            netlink.addr("del", index=loopback, **_arguments(address))
        except NetlinkError as error:
            if error.code != _EADDRNOTAVAIL:
                raise


def _arguments(address: str) -> dict[str, Any]:
    family = family_named(family_of(address))
    return {"family": family.socket_family, "address": address, "prefixlen": family.bits}


def _unused(address: str, label: str) -> dict[str, Any]:
    """What keeps the kernel from taking the address as the source of its own packets."""
    if ":" in address:
        # Deprecated from the beginning, and valid for ever.
        return {"preferred_lft": 0, "valid_lft": _FOREVER}
    return {"scope": _SCOPE_HOST, "label": label}
