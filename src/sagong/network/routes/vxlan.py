"""The device that encapsulates packets for far nodes (``tunnel.py``), as the kernel has it."""

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from sagong.core.netlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    NetlinkError,
    attribute,
    attributes,
    nested,
)
from sagong.network.routes.links import (
    LINK_HEADER,
    SCOPE_UNIVERSE,
    LinkAddress,
    Links,
    address_text,
    index_of,
    packed_address,
)
from sagong.network.routes.tunnel import Tunnel, gateway_of
from sagong.network.tables.family import family_of_address

DEVICE = "sagong-vxlan"
PORT = 4789  # UDP, as IANA has it
NETWORK_ID = 1
# What is put before a packet: addresses of links, UDP, VXLAN, and the real addresses.
_OVERHEAD_BYTES = {4: 50, 16: 70}

# linux/rtnetlink.h, neighbour.h, if_link.h.
_NEWLINK, _GETLINK = 16, 18
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_U32 = struct.Struct("=I")
_LINK_ADDRESS, _LINK_NAME, _LINK_MTU, _LINK_INFO = 1, 3, 4, 18
_INFO_KIND, _INFO_DATA = 1, 2
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT, _VXLAN_LOCAL6 = 1, 4, 7, 15, 17
_NEIGHBOUR_ADDRESS, _NEIGHBOUR_HARDWARE = 1, 2
_PERMANENT, _ON_SELF = 0x80, 0x2
_AF_BRIDGE = 7


class NoTunnelError(Exception):
    """This kernel cannot encapsulate."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An address and the hardware address that stands for it.

    With the family of bridges: the real address that packets to a hardware address are sent to.
    """

    family: int
    address: str
    hardware_address: bytes


def wanted_neighbours(tunnel: Tunnel) -> frozenset[Neighbour]:
    """What the kernel's tables should hold. Pure."""
    found = set[Neighbour]()
    for peer in tunnel.peers:
        found.add(Neighbour(_AF_BRIDGE, peer.address, peer.hardware_address))
        for gateway in map(gateway_of, peer.cidrs):
            family = family_of_address(gateway).socket_family
            found.add(Neighbour(family, gateway, peer.hardware_address))
    return frozenset(found)


def apply_tunnel(tunnel: Tunnel | None) -> int | None:
    """Bring the device and its tables in step; None takes it away. How long packets may be by it.

    Raises NoTunnelError where the kernel has no such devices, NetlinkError.
    """
    with TunnelLinks() as links:
        device = index_of(DEVICE)
        if device is not None and (tunnel is None or links.local_of(device) != tunnel.local):
            links.remove(device)
            device = None
        if tunnel is None:
            return None
        if device is None:
            links.create(tunnel)
            device = socket.if_nametoindex(DEVICE)
        links.set_up(device)
        for gateway in map(gateway_of, tunnel.cidrs):
            _have_address(links, device, gateway)
        present, wanted = frozenset(links.neighbours(device)), wanted_neighbours(tunnel)
        for neighbour in present - wanted:
            links.remove_neighbour(device, neighbour)
        for neighbour in wanted - present:
            links.add_neighbour(device, neighbour)
        return links.mtu_of(device)


def _have_address(links: Links, device: int, address: str) -> None:
    bits = family_of_address(address).bits
    try:
        links.add_address(LinkAddress(device, address, bits, DEVICE), SCOPE_UNIVERSE)
    except NetlinkError as error:
        if error.errno != errno.EEXIST:
            raise


class TunnelLinks(Links):
    """Devices of the kind, and the tables of neighbours behind them."""

    def create(self, tunnel: Tunnel) -> None:
        family, local = packed_address(tunnel.local)
        data = nested(
            _INFO_DATA,
            attribute(_VXLAN_ID, _U32.pack(NETWORK_ID)),
            attribute(_VXLAN_LOCAL if family == socket.AF_INET else _VXLAN_LOCAL6, local),
            attribute(_VXLAN_LEARNING, b"\0"),  # who is where is told, not learned
            attribute(_VXLAN_PORT, PORT.to_bytes(2)),
        )
        payload = (
            LINK_HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0),
            attribute(_LINK_NAME, DEVICE.encode() + b"\0"),
            attribute(_LINK_ADDRESS, tunnel.hardware_address),
            attribute(_LINK_MTU, _U32.pack(self._mtu_to(tunnel) - _OVERHEAD_BYTES[len(local)])),
            nested(_LINK_INFO, attribute(_INFO_KIND, b"vxlan"), data),
        )
        try:
            self.change(_NEWLINK, b"".join(payload), CREATE | EXCLUSIVE)
        except NetlinkError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise NoTunnelError("this kernel has no VXLAN devices") from error
            raise

    def local_of(self, device: int) -> str:
        """The real address of this end."""
        info = attributes(self._link(device).get(_LINK_INFO, b""))
        data = attributes(info.get(_INFO_DATA, b""))
        packed = data.get(_VXLAN_LOCAL) or data.get(_VXLAN_LOCAL6)
        return address_text(packed) if packed else ""

    def _mtu_to(self, tunnel: Tunnel) -> int:
        """Of the link by which the first far node is reached."""
        route = self.route_to(tunnel.peers[0].address if tunnel.peers else tunnel.local)
        return self.mtu_of(route.device)

    def mtu_of(self, device: int) -> int:
        """In bytes."""
        return int(_U32.unpack(self._link(device)[_LINK_MTU])[0])

    def neighbours(self, device: int) -> Iterator[Neighbour]:
        """The permanent ones of a device, of all families."""
        for family in (socket.AF_INET, socket.AF_INET6, _AF_BRIDGE):
            for answer in self.dump(_GETNEIGH, _NEIGHBOUR.pack(family, 0, 0, 0, 0)):
                _, index, state, _, _ = _NEIGHBOUR.unpack_from(answer)
                found = attributes(answer[_NEIGHBOUR.size :])
                address = found.get(_NEIGHBOUR_ADDRESS)
                if index == device and state & _PERMANENT and address:
                    hardware = found.get(_NEIGHBOUR_HARDWARE, b"")
                    if any(hardware):  # broadcasts of IPv6 have entries without
                        yield Neighbour(family, address_text(address), hardware)

    def add_neighbour(self, device: int, neighbour: Neighbour) -> None:
        self.change(_NEWNEIGH, _neighbour(device, neighbour), CREATE | REPLACE)

    def remove_neighbour(self, device: int, neighbour: Neighbour) -> None:
        self.change(_DELNEIGH, _neighbour(device, neighbour))


def _neighbour(device: int, neighbour: Neighbour) -> bytes:
    flags = _ON_SELF if neighbour.family == _AF_BRIDGE else 0
    header = _NEIGHBOUR.pack(neighbour.family, device, _PERMANENT, flags, 0)
    _, packed = packed_address(neighbour.address)
    return (
        header
        + attribute(_NEIGHBOUR_ADDRESS, packed)
        + attribute(_NEIGHBOUR_HARDWARE, neighbour.hardware_address)
    )
