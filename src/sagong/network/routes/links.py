"""Network devices, their addresses and the routes of the main table, as the kernel has them.

The numbers are those of ``linux/rtnetlink.h``, ``if_link.h`` and ``if_addr.h``.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sagong.core.netlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    ROUTE,
    Attributes,
    Netlink,
    attribute,
    attributes,
)

SCOPE_UNIVERSE, SCOPE_LINK, SCOPE_HOST, SCOPE_NOWHERE = 0, 253, 254, 255

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26

LINK_HEADER = struct.Struct("=BxHiII")  # family, type, index, flags, mask of the flags to change
_ADDRESS = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
# family, lengths of destination and source, service, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")
_INDEX = struct.Struct("=i")
_TIMES = struct.Struct("=IIII")  # preferred, valid (seconds), created, updated
_FOREVER = 0xFFFFFFFF
_NOT_ASKED = 2

_LINK_UP = 1
_LINK_ADDRESS = 1
_ADDRESS_ADDRESS, _ADDRESS_LOCAL, _ADDRESS_LABEL, _ADDRESS_TIMES = 1, 2, 3, 6
_ROUTE_DESTINATION, _ROUTE_DEVICE, _ROUTE_GATEWAY, _ROUTE_SOURCE, _ROUTE_TABLE = 1, 4, 5, 7, 15
_MAIN_TABLE = 254
_UNICAST = 1
_ON_LINK = 4


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address of a device."""

    device: int  # its index
    address: str
    prefix_length: int
    label: str


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table; "" and 0 are what it does not have."""

    destination: str  # address/length
    protocol: int
    gateway: str = ""
    source: str = ""
    device: int = 0
    scope: int = SCOPE_UNIVERSE
    is_on_link: bool = False  # the gateway is taken to be on the device's link


class Links(Netlink):
    """What can be asked of, and changed at, the devices of this network namespace."""

    def __init__(self) -> None:
        super().__init__(ROUTE)

    def set_up(self, device: int) -> None:
        self.change(_NEWLINK, LINK_HEADER.pack(socket.AF_UNSPEC, 0, device, _LINK_UP, _LINK_UP))

    def remove(self, device: int) -> None:
        self.change(_DELLINK, LINK_HEADER.pack(socket.AF_UNSPEC, 0, device, 0, 0))

    def hardware_address(self, device: int) -> bytes:
        """b"" if the device has none."""
        return self._link(device).get(_LINK_ADDRESS, b"")

    def _link(self, device: int) -> Attributes:
        answer = self.get(_GETLINK, LINK_HEADER.pack(socket.AF_UNSPEC, 0, device, 0, 0))
        return attributes(answer[LINK_HEADER.size :])

    def addresses(self) -> Iterator[LinkAddress]:
        """Of IPv4, then of IPv6."""
        for family in (socket.AF_INET, socket.AF_INET6):
            for answer in self.dump(_GETADDR, _ADDRESS.pack(family, 0, 0, 0, 0)):
                yield from _addresses(answer)

    def add_address(self, added: LinkAddress, scope: int) -> None:
        """Raises NetlinkError with EEXIST if the device has it.

        The scope of an IPv6 address is in itself: one of this host is deprecated from the beginning
        instead, which keeps it from being a source as well, and is there for ever.
        """
        family, packed = packed_address(added.address)
        # Nobody else is asked whether he has it, which IPv6 would: ours are of our own ranges.
        flags = _NOT_ASKED if family == socket.AF_INET6 else 0
        header = _ADDRESS.pack(family, added.prefix_length, flags, scope, added.device)
        payload = header + attribute(_ADDRESS_LOCAL, packed) + attribute(_ADDRESS_ADDRESS, packed)
        if family == socket.AF_INET:
            payload += attribute(_ADDRESS_LABEL, added.label.encode() + b"\0")
        elif scope == SCOPE_HOST:
            payload += attribute(_ADDRESS_TIMES, _TIMES.pack(0, _FOREVER, 0, 0))
        self.change(_NEWADDR, payload, CREATE | EXCLUSIVE)

    def remove_address(self, removed: LinkAddress) -> None:
        """Raises NetlinkError with EADDRNOTAVAIL if it is not there."""
        family, packed = packed_address(removed.address)
        header = _ADDRESS.pack(family, removed.prefix_length, 0, 0, removed.device)
        self.change(_DELADDR, header + attribute(_ADDRESS_LOCAL, packed))

    def routes(self) -> Iterator[Route]:
        """Of IPv4, then of IPv6."""
        for family in (socket.AF_INET, socket.AF_INET6):
            for answer in self.dump(_GETROUTE, _ROUTE.pack(family, *[0] * 8)):
                if _is_main(answer):
                    yield _route_of(answer)

    def route_to(self, address: str) -> Route:
        """The route that a packet to an address takes. Raises NetlinkError if there is none."""
        family, packed = packed_address(address)
        header = _ROUTE.pack(family, 8 * len(packed), *[0] * 7)
        return _route_of(self.get(_GETROUTE, header + attribute(_ROUTE_DESTINATION, packed)))

    def replace_route(self, route: Route) -> None:
        self.change(_NEWROUTE, _route(route, _UNICAST), CREATE | REPLACE)

    def remove_route(self, destination: str, protocol: int) -> None:
        """Whatever its gateway and scope."""
        self.change(_DELROUTE, _route(Route(destination, protocol, scope=SCOPE_NOWHERE), 0))


def _addresses(answer: bytes) -> Iterator[LinkAddress]:
    _, prefix_length, _, _, device = _ADDRESS.unpack_from(answer)
    found = attributes(answer[_ADDRESS.size :])
    # The address of a peer, if there is one, is the other attribute.
    own = _text(found, _ADDRESS_LOCAL) or _text(found, _ADDRESS_ADDRESS)
    if own:
        label = found.get(_ADDRESS_LABEL, b"").rstrip(b"\0").decode()
        yield LinkAddress(device, own, prefix_length, label)


def _is_main(answer: bytes) -> bool:
    _, _, _, _, table, *_ = _ROUTE.unpack_from(answer)
    found = attributes(answer[_ROUTE.size :])
    if _ROUTE_TABLE in found:
        table = _INDEX.unpack(found[_ROUTE_TABLE])[0]
    return bool(table == _MAIN_TABLE)


def _route_of(answer: bytes) -> Route:
    family, length, _, _, _, protocol, scope, _, flags = _ROUTE.unpack_from(answer)
    found = attributes(answer[_ROUTE.size :])
    everywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
    return Route(
        destination=f"{_text(found, _ROUTE_DESTINATION) or everywhere}/{length}",
        protocol=protocol,
        gateway=_text(found, _ROUTE_GATEWAY),
        source=_text(found, _ROUTE_SOURCE),
        device=_INDEX.unpack(found.get(_ROUTE_DEVICE, bytes(4)))[0],
        scope=scope,
        is_on_link=bool(flags & _ON_LINK),
    )


def index_of(device: str) -> int | None:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return None


def _text(found: Attributes, number: int) -> str:
    packed = found.get(number)
    return address_text(packed) if packed else ""


def address_text(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)


def packed_address(address: str) -> tuple[socket.AddressFamily, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def _route(route: Route, kind: int) -> bytes:
    address, _, length = route.destination.partition("/")
    family, packed = packed_address(address)
    flags = _ON_LINK if route.is_on_link else 0
    header = _ROUTE.pack(
        family, int(length), 0, 0, _MAIN_TABLE, route.protocol, route.scope, kind, flags
    )
    given = [attribute(_ROUTE_DESTINATION, packed)]
    if route.gateway:
        given.append(attribute(_ROUTE_GATEWAY, packed_address(route.gateway)[1]))
    if route.source:
        given.append(attribute(_ROUTE_SOURCE, packed_address(route.source)[1]))
    if route.device:
        given.append(attribute(_ROUTE_DEVICE, _INDEX.pack(route.device)))
    return header + b"".join(given)
