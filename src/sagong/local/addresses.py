"""The addresses that this machine has."""

import socket


def default_route_address() -> str:
    """This machine's own address on its default route. Raises OSError if there is no route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket sends nothing: it only asks the kernel for its route.
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
