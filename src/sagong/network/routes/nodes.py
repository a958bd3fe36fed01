"""What routes and rules take from a Node."""

import ipaddress

from sagong.api.address_ranges import canonical_address
from sagong.api.types import Obj
from sagong.network.tables.family import FAMILIES, IPV4, Family


def internal_ip(node: Obj, family: Family = IPV4) -> str | None:
    """A node's first InternalIP of a family."""
    for given in (node.get("status") or {}).get("addresses") or ():
        if given.get("type") == "InternalIP":
            address = canonical_address(given["address"])
            if address is not None and family.has(address):
                return address
    return None


def pod_cidr(node: Obj, family: Family = IPV4) -> str | None:
    """A node's pod CIDR of a family."""
    return next((cidr for cidr in pod_cidrs(node) if family.has(cidr)), None)


def pod_cidrs(node: Obj) -> tuple[str, ...]:
    """A node's pod CIDRs, at most one of each family, the primary one first."""
    spec = node.get("spec") or {}
    found: dict[str, str] = {}
    for cidr in spec.get("podCIDRs") or [spec.get("podCIDR") or ""]:
        for family in FAMILIES if cidr else ():
            if family.has(cidr):
                found.setdefault(family.name, str(ipaddress.ip_network(cidr, strict=False)))
    return tuple(found.values())
