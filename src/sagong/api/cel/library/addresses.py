"""IP addresses and CIDRs (Kubernetes' ``library/ip.go`` and ``cidr.go``)."""

import ipaddress
from typing import Any

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.types import BOOL, INT, STRING, opaque

IP, CIDR = opaque("net.IP"), opaque("net.CIDR")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Ip:
    """An address as a value."""

    __slots__ = ("address",)
    type_name = IP.name

    def __init__(self, address: _Address) -> None:
        self.address = address

    def equals(self, other: Any) -> bool:
        return isinstance(other, Ip) and self.address == other.address


class Cidr:
    """An address with the length of its prefix, as a value; bits past the prefix are kept."""

    __slots__ = ("address", "length")
    type_name = CIDR.name

    def __init__(self, address: _Address, length: int) -> None:
        self.address = address
        self.length = length

    def equals(self, other: Any) -> bool:
        same = isinstance(other, Cidr) and self.address == other.address
        return same and self.length == other.length

    @property
    def network(self) -> _Network:
        return ipaddress.ip_network((self.address, self.length), strict=False)


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    _ip(declaring)
    _cidr(declaring)
    return declaring.functions()


def _ip(declaring: Declaring) -> None:
    reads = costs.reads_first
    declaring.function("ip", "string_to_ip", (STRING,), IP, _to_ip, reads)
    declaring.function("isIP", "is_ip", (STRING,), BOOL, _is_ip, reads)
    canonical = (STRING,)
    declaring.function("ip.isCanonical", "ip_is_canonical", canonical, BOOL, _is_canonical, reads)
    declaring.function("string", "ip_to_string", (IP,), STRING, lambda ip: str(ip.address))
    for name, id_, result, call in (
        ("family", "ip_family", INT, lambda ip: ip.address.version),
        ("isUnspecified", "ip_is_unspecified", BOOL, lambda ip: ip.address.is_unspecified),
        ("isLoopback", "ip_is_loopback", BOOL, lambda ip: ip.address.is_loopback),
        ("isLinkLocalMulticast", "ip_is_link_local_multicast", BOOL, _is_link_local_multicast),
        ("isLinkLocalUnicast", "ip_is_link_local_unicast", BOOL, _is_link_local_unicast),
        ("isGlobalUnicast", "ip_is_global_unicast", BOOL, _is_global_unicast),
    ):  # fmt: skip
        declaring.member(name, id_, (IP,), result, call)


def _cidr(declaring: Declaring) -> None:
    reads, member = costs.reads_first, declaring.member
    declaring.function("cidr", "string_to_cidr", (STRING,), CIDR, _to_cidr, reads)
    declaring.function("isCIDR", "is_cidr", (STRING,), BOOL, _is_cidr, reads)
    declaring.function("string", "cidr_to_string", (CIDR,), STRING, _show_cidr)
    member("containsIP", "cidr_contains_ip_string", (CIDR, STRING), BOOL, _contains_ip)
    member("containsIP", "cidr_contains_ip_ip", (CIDR, IP), BOOL, _contains_ip)
    member("containsCIDR", "cidr_contains_cidr_string", (CIDR, STRING), BOOL, _contains_cidr)
    member("containsCIDR", "cidr_contains_cidr", (CIDR, CIDR), BOOL, _contains_cidr)
    member("ip", "cidr_ip", (CIDR,), IP, lambda cidr: Ip(cidr.address))
    member("masked", "cidr_masked", (CIDR,), CIDR, _masked)
    member("prefixLength", "cidr_prefix_length", (CIDR,), INT, lambda cidr: cidr.length)


def _to_ip(text: str) -> Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        message = f'IP Address "{text}" parse error during conversion from string: '
        raise EvaluationError(f'{message}ParseAddr("{text}"): unable to parse IP') from None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
        if address.ipv4_mapped is not None:
            raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Ip(address)


def _is_ip(text: str) -> bool:
    try:
        _to_ip(text)
    except EvaluationError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(_to_ip(text).address) == text


def _is_link_local_multicast(ip: Ip) -> bool:
    address = ip.address
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return address.is_multicast and address.packed[1] & 0x0F == 0x02


def _is_link_local_unicast(ip: Ip) -> bool:
    return ip.address.is_link_local


def _is_global_unicast(ip: Ip) -> bool:
    """As Go has it: everything that is nothing else, private addresses among them."""
    address = ip.address
    others = address.is_unspecified or address.is_loopback or address.is_multicast
    broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    return not (others or address.is_link_local or broadcast)


def _to_cidr(text: str) -> Cidr:
    address, slash, length = text.partition("/")
    try:
        if not slash or not length.isdecimal() or (length != "0" and length.startswith("0")):
            raise ValueError(text)
        network = ipaddress.ip_network(text, strict=False)
        return Cidr(ipaddress.ip_address(address), network.prefixlen)
    except ValueError:
        message = "network address parse error during conversion from string"
        why = f'netip.ParsePrefix("{text}"): invalid CIDR address'
        raise EvaluationError(f"{message}: {why}") from None


def _is_cidr(text: str) -> bool:
    try:
        _to_cidr(text)
    except EvaluationError:
        return False
    return True


def _show_cidr(cidr: Cidr) -> str:
    return f"{cidr.address}/{cidr.length}"


def _contains_ip(cidr: Cidr, wanted: Any) -> bool:
    ip = _to_ip(wanted) if isinstance(wanted, str) else wanted
    return ip.address.version == cidr.address.version and ip.address in cidr.network


def _contains_cidr(cidr: Cidr, wanted: Any) -> bool:
    other = _to_cidr(wanted) if isinstance(wanted, str) else wanted
    if other.address.version != cidr.address.version:
        return False
    return other.length >= cidr.length and other.address in cidr.network


def _masked(cidr: Cidr) -> Cidr:
    return Cidr(cidr.network.network_address, cidr.length)
