"""IP addresses and ranges as validation sees them."""

import ipaddress
from collections.abc import Sequence

IP_WRONG = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR_WRONG = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_ip(text: str) -> Address | None:
    """The address, or None if it is none. Zones (``%eth0``) are not addresses here."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def parse_cidr(text: str) -> Network | None:
    """The range, host bits ignored, or None. A range has a length."""
    if "/" not in text or "%" in text or not text.rpartition("/")[2].isdecimal():
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def parse_interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """An address with the length of its network's prefix, or None."""
    if "/" not in text or "%" in text or not text.rpartition("/")[2].isdecimal():
        return None
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        return None


def ip_address(value: str) -> Sequence[str]:
    """What is wrong with an IP address, in the manner of ``api/names.py``."""
    return [] if parse_ip(value) is not None else [IP_WRONG]


def cidr(value: str) -> Sequence[str]:
    """What is wrong with a range."""
    return [] if parse_cidr(value) is not None else [CIDR_WRONG]


def special_ip(text: str) -> str | None:
    """Why an address cannot be an endpoint (``ValidateEndpointIP``), or None."""
    ip = parse_ip(text)
    if ip is None:
        return None
    if ip.is_unspecified:
        return f"may not be unspecified ({ip})"
    if ip.is_loopback:
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if ip.is_link_local:
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if ip in ipaddress.ip_network("224.0.0.0/24" if ip.version == 4 else "ff02::/16"):
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    return None
