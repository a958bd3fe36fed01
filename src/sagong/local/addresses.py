"""The addresses that this machine has."""

import ipaddress
import socket


class NoNodeAddress(Exception):
    """This machine has no address at which others, and pods, could reach it."""


def default_route_address() -> str:
    """This machine's own address on its default route. Raises OSError if there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket sends nothing: it only asks the kernel for its route.
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def node_address() -> str:
    """This machine's address on its default route. Raises NoNodeAddress if it has none of its
    own."""
    try:
        address = default_route_address()
    except OSError as error:
        raise NoNodeAddress(
            "this machine has no address besides loopback, which pods cannot reach"
        ) from error
    if ipaddress.ip_address(address).is_loopback:
        raise NoNodeAddress("the default route leads to loopback; name another with a route")
    return address
