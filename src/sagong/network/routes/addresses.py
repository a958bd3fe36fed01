"""An address that the node answers itself, put on its loopback device."""

import errno
import socket

from sagong.core.netlink import NetlinkError
from sagong.network.routes.links import SCOPE_HOST, LinkAddress, Links

BALANCER_LABEL = "lo:sagong-lb"  # tells balancers' addresses from all others on the device


def add_local_address(address: str, label: str = "lo") -> None:
    """Give the loopback device a /32, which pods of the node reach as they reach any address of
    it: every device that a pod is linked to takes packets for it. Raises NetlinkError.

    Its scope is this host, so that the kernel never takes it as the source of its own packets.
    """
    loopback = socket.if_nametoindex("lo")
    with Links() as links:
        links.set_up(loopback)
        try:
            links.add_address(LinkAddress(loopback, address, 32, label), SCOPE_HOST)
        except NetlinkError as error:
            if error.errno != errno.EEXIST:
                raise


def local_addresses(label: str) -> frozenset[str]:
    """The addresses on the loopback device with a label."""
    loopback = socket.if_nametoindex("lo")
    with Links() as links:
        return frozenset(
            entry.address
            for entry in links.addresses()
            if entry.device == loopback and entry.label == label
        )


def remove_local_address(address: str) -> None:
    """Undo add_local_address; nothing happens if the address is not there."""
    loopback = socket.if_nametoindex("lo")
    with Links() as links:
        try:
            links.remove_address(LinkAddress(loopback, address, 32, ""))
        except NetlinkError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
