"""An address that the node answers itself, put on its loopback device."""

import socket

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_EEXIST = 17
_EADDRNOTAVAIL = 99
# Valid on this host only, so that the kernel never takes it as the source of its own packets.
_SCOPE_HOST = 254


BALANCER_LABEL = "lo:sagong-lb"  # tells balancers' addresses from all others on the device


def add_local_address(address: str, label: str = "lo") -> None:
    """Give the loopback device a /32, which pods of the node reach as they reach any address of
    it: every device that a pod is linked to takes packets for it. Raises NetlinkError."""
    with IPRoute() as netlink:
        loopback = netlink.link_lookup(ifname="lo")[0]
        netlink.link("set", index=loopback, state="up")
        try:
            netlink.addr(
                "add",
                index=loopback,
                address=address,
                prefixlen=32,
                scope=_SCOPE_HOST,
                label=label,
            )
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
            netlink.addr("del", index=loopback, address=address, prefixlen=32)
        except NetlinkError as error:
            if error.code != _EADDRNOTAVAIL:
                raise
