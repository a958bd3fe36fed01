"""Which address or port of a range to try next.

The lower part of a range is kept for those who ask for a fixed value (KEP-3070, KEP-3668): dynamic
choice starts somewhere in the upper band, goes round it, and takes the lower band only then.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from sagong.server.kinds.addresses import Network

# Upstream's band sizes: a share of the range, within bounds; ranges this small have no bands.
_ADDRESS_BAND = (16, 256, 16)
_PORT_BAND = (16, 128, 32)


@dataclass(frozen=True, slots=True)
class Band:
    """``size`` numbers from ``first`` on; the lowest ``static`` of them are tried last."""

    first: int
    size: int
    static: int

    @property
    def last(self) -> int:
        return self.first + self.size - 1

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def candidates(self, random: float) -> Iterator[int]:
        """Every number once, the dynamic ones first; ``random`` in [0, 1) says where to start."""
        upper = self.size - self.static
        for low, count in ((self.first + self.static, upper), (self.first, self.static)):
            start = int(random * count)
            for i in range(count):
                yield low + (start + i) % count


def _static(size: int, bounds: tuple[int, int, int]) -> int:
    low, high, divisor = bounds
    if size <= low:
        return 0
    return min(max(size // divisor, low), high)


def address_band(network: Network) -> Band:
    """The usable addresses: neither the network's own nor IPv4's broadcast address."""
    unusable = 2 if network.version == 4 else 1
    size = max(network.num_addresses - unusable, 0)
    return Band(int(network.network_address) + 1, size, _static(size, _ADDRESS_BAND))


def port_band(ports: range) -> Band:
    return Band(ports.start, len(ports), _static(len(ports), _PORT_BAND))


def address_text(number: int, version: int) -> str:
    cls = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return str(cls(number))
