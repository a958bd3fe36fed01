"""An address that the node answers itself, put on its loopback device."""

import errno
import socket

from sagong.core.netlink import NetlinkError
from sagong.network.routes.links import SCOPE_HOST, LinkAddress, Links
from sagong.network.tables.family import family_of_address

BALANCER_LABEL = "lo:sagong-lb"  # tells balancers' addresses from all others on the device


def add_local_address(address: str, label: str = "lo") -> None:
    """Give the loopback device an address, which pods of the node reach as they reach any of it:
    every device that a pod is linked to takes packets for it. Raises NetlinkError.

    Labels are IPv4's alone. The kernel never takes the address as the source of its own packets.
    """
    loopback = socket.if_nametoindex("lo")
    with Links() as links:
        links.set_up(loopback)
        try:
            links.add_address(_on(loopback, address, label), SCOPE_HOST)
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
            links.remove_address(_on(loopback, address, ""))
        except NetlinkError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise


def _on(device: int, address: str, label: str) -> LinkAddress:
    return LinkAddress(device, address, family_of_address(address).bits, label)
