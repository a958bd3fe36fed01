"""A cluster's ranges of addresses: one, or two of different families (dual stack). Pure."""

import functools
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

NODE_PREFIX_IPV6 = 64
ADDRESSES_KEPT = 16_384  # about 4 MB when full; past it the longest unused is parsed again
PREFIX_DIFFERENCE_MAX = 16  # between a node's range and the cluster's: at most 65,536 nodes

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class NodeRange:
    """One family's range of the cluster, and the size of a node's part of it."""

    cluster: Network
    prefix: int


def parse_ranges(text: str) -> Sequence[Network]:
    """``10.96.0.0/16`` or ``10.96.0.0/16,fd00:96::/112``: the first family is the primary one.

    Raises ValueError.
    """
    networks = [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",")]
    if len(networks) > 2 or len({network.version for network in networks}) < len(networks):
        raise ValueError(f"expected one range, or one of each IP family: {text}")
    return networks


@functools.lru_cache(maxsize=ADDRESSES_KEPT)
def canonical_address(text: str) -> str | None:
    """An address as it is usually written; None for what is none.

    What nodes say of themselves, and of their pods, is checked by nobody before.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if "%" in text else str(address)


def is_address(text: str) -> bool:
    """Of either family, with a zone or without."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def family_of(address: str) -> str:
    """ "IPv4" or "IPv6", of an address or a range that is valid."""
    return "IPv6" if ":" in address else "IPv4"


def node_ranges(cluster_cidrs: str, prefix: int, prefix_ipv6: int) -> Sequence[NodeRange]:
    """Of one range, or of two of different families with a comma between them.

    Raises ValueError, also if a node's range would be no part of the cluster's.
    """
    networks = parse_ranges(cluster_cidrs)
    found = [NodeRange(n, prefix if n.version == 4 else prefix_ipv6) for n in networks]
    for each in found:
        spare = each.prefix - each.cluster.prefixlen
        # Upstream's bound for what its bit map of a cluster's ranges may be.
        if not 0 <= spare <= PREFIX_DIFFERENCE_MAX:
            raise ValueError(f"nodes cannot have a /{each.prefix} each out of {each.cluster}")
    return found
