"""What differs between the tables of IPv4 and of IPv6. Pure."""

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sagong.api.address_ranges import canonical_address, family_of


@dataclass(frozen=True, slots=True)
class Family:
    """One address family, in the words of nft and of the kernel."""

    name: str  # as the API calls it
    word: str  # of nft: the family of a table, and the protocol in a rule
    address_type: str
    loopback: str
    multicast: str
    any_address: str
    loopback_address: str
    socket_family: int
    bits: int

    def has(self, address: str) -> bool:
        """Whether a valid address or range is of the family."""
        return family_of(address) == self.name

    def addresses(self, texts: Iterable[str]) -> Iterator[str]:
        """Those that are addresses of the family."""
        for text in texts:
            address = canonical_address(text)
            if address is not None and self.has(address):
                yield address

    def is_network(self, text: str) -> bool:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            return False
        return self.has(text)

    def with_port(self, address: str, port: int) -> str:
        return f"[{address}]:{port}" if self is IPV6 else f"{address}:{port}"


IPV4 = Family(
    name="IPv4",
    word="ip",
    address_type="ipv4_addr",
    loopback="127.0.0.0/8",
    multicast="224.0.0.0/4",
    any_address="0.0.0.0",
    loopback_address="127.0.0.1",
    socket_family=socket.AF_INET,
    bits=32,
)
IPV6 = Family(
    name="IPv6",
    word="ip6",
    address_type="ipv6_addr",
    loopback="::1",
    multicast="ff00::/8",
    any_address="::",
    loopback_address="::1",
    socket_family=socket.AF_INET6,
    bits=128,
)
FAMILIES = (IPV4, IPV6)


def family_named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def family_of_address(address: str) -> Family:
    """Of a valid address or range."""
    return family_named(family_of(address))


def families_in(ranges: str) -> tuple[Family, ...]:
    """The families of a cluster's ranges, in their order."""
    return tuple(map(family_of_address, ranges.split(",")))


def range_of(ranges: str, family: Family) -> str:
    """The range of a family among those with commas between them; "" if there is none."""
    return next((text.strip() for text in ranges.split(",") if family.has(text)), "")
