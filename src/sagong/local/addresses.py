"""The addresses that this machine has."""

import ipaddress
import socket
from collections.abc import Iterable


class NoNodeAddress(Exception):
    """This machine has no address at which others, and pods, could reach it."""


# Of each family, by its version: addresses of documentation, which only a default route leads to.
_ELSEWHERE = {4: (socket.AF_INET, "192.0.2.1"), 6: (socket.AF_INET6, "2001:db8::1")}


def default_route_address(version: int = 4) -> str:
    """This machine's own address on its default route, of IPv4 or IPv6.

    Raises OSError if there is no route.
    """
    family, elsewhere = _ELSEWHERE[version]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket sends nothing: it only asks the kernel for its route.
        probe.connect((elsewhere, 9))
        return str(probe.getsockname()[0])


def node_addresses(versions: Iterable[int]) -> str:
    """An address for each IP version, with commas between them. Raises NoNodeAddress."""
    return ",".join(node_address(version) for version in versions)


def node_address(version: int = 4) -> str:
    """This machine's address on its default route. Raises NoNodeAddress if it has none of its
    own."""
    try:
        address = default_route_address(version)
    except OSError as error:
        what = "address" if version == 4 else "IPv6 address"
        raise NoNodeAddress(
            f"this machine has no {what} besides loopback, which pods cannot reach"
        ) from error
    if ipaddress.ip_address(address).is_loopback:
        raise NoNodeAddress("the default route leads to loopback; name another with a route")
    return address
