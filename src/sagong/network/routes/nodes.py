"""What routes and rules take from a Node."""

import ipaddress

from sagong.api.types import Obj


def internal_ip(node: Obj) -> str | None:
    """A node's first IPv4 InternalIP."""
    for address in (node.get("status") or {}).get("addresses") or ():
        if address.get("type") == "InternalIP" and ":" not in address["address"]:
            return str(address["address"])
    return None


def pod_cidr(node: Obj) -> str | None:
    """A node's IPv4 pod CIDR."""
    spec = node.get("spec") or {}
    for cidr in spec.get("podCIDRs") or [spec.get("podCIDR") or ""]:
        if cidr and ":" not in cidr:
            return str(ipaddress.IPv4Network(cidr, strict=False))
    return None
