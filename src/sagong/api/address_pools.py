"""Ranges of addresses to give away. Pure."""

import ipaddress
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

ADDRESSES_MAX = 65536  # of one pool; a longer one is a mistake


@dataclass(frozen=True, slots=True)
class AddressPool:
    """IPv4 addresses from one to another, both included."""

    first: int
    last: int

    def __contains__(self, ip: str) -> bool:
        try:
            return self.first <= int(ipaddress.IPv4Address(ip)) <= self.last
        except ValueError:
            return False

    def __iter__(self) -> Iterator[str]:
        return (str(ipaddress.IPv4Address(n)) for n in range(self.first, self.last + 1))


def parse_pool(text: str) -> AddressPool:
    """``192.0.2.10-192.0.2.20``, ``192.0.2.0/28`` or one address. Raises ValueError."""
    first, dash, last = text.partition("-")
    if dash:
        low, high = (int(ipaddress.IPv4Address(part.strip())) for part in (first, last))
    else:
        network = ipaddress.IPv4Network(text.strip())
        low, high = int(network.network_address), int(network.broadcast_address)
    if not 0 <= high - low < ADDRESSES_MAX:
        raise ValueError(f"{text} is no range of 1 to {ADDRESSES_MAX} addresses")
    return AddressPool(low, high)


def choose_address(
    pools: Iterable[AddressPool], *, taken: Collection[str], asked: str, current: str
) -> str:
    """The address asked for, the current one, or the first that is free; "" if there is none."""
    ranges = tuple(pools)
    for ip in (asked,) if asked else (current,):
        if ip and ip not in taken and any(ip in pool for pool in ranges):
            return ip
    if asked:
        return ""
    return next((ip for pool in ranges for ip in pool if ip not in taken), "")
