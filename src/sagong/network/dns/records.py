"""What the cluster's names mean. Pure.

Source of semantics: the "Kubernetes DNS-Based Service Discovery" specification 1.1, and where it is
silent CoreDNS' kubernetes plugin: a name that exists without the asked type is NODATA, a headless
service without endpoints does not exist, addresses of pods are answered without looking for a pod.

    <service>.<ns>.svc.<domain>                     A, AAAA, SRV  cluster IPs, or each endpoint's
    <hostname>.<service>.<ns>.svc.<domain>          A, AAAA       one endpoint
    _<port>._<protocol>.<service>.<ns>.svc.<domain> SRV           one port
    <a-b-c-d>.<ns>.pod.<domain>                     A, AAAA       that address
    d.c.b.a.in-addr.arpa, ....ip6.arpa              PTR           of service or endpoint addresses
    dns-version.<domain>                            TXT           1.1.0
"""

import enum
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sagong.api.address_ranges import canonical_address, is_address
from sagong.api.meta import name_of, namespace_of
from sagong.api.types import Obj
from sagong.network.indexes import service_name_of

SPECIFICATION_VERSION = "1.1.0"
TTL_SECONDS = 30  # of cluster IPs, which never change while a service lives
TTL_SECONDS_ENDPOINTS = 5  # of endpoints' own addresses
TTL_SECONDS_NEGATIVE = 5  # how long a resolver may remember that a name is not there

T = TypeVar("T")

_NIBBLES = 32  # of an IPv6 address, each a label

Name = tuple[str, ...]  # labels, lower case, the root's left out


class Type(enum.IntEnum):
    """Record types that we serve (RFC 1035 and others); any other has no data."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    ANY = 255


@dataclass(frozen=True, slots=True)
class Record:
    """One answer. ``data`` is an address, a dotted name or a text, as the type has it."""

    name: Name
    type: Type
    ttl_seconds: int
    data: str
    port: int = 0  # SRV
    weight: int = 0  # SRV


class Code(enum.IntEnum):
    """Response codes (RFC 1035, section 4.1.1)."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NAME_ERROR = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a name. Without records it carries the SOA for negative caching."""

    code: Code = Code.NO_ERROR
    records: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


NO_DATA = Answer()
NAME_ERROR = Answer(Code.NAME_ERROR)


class View(Protocol):
    """The cluster as the names see it."""

    def service(self, namespace: str, name: str) -> Obj | None: ...

    def slices(self, namespace: str, service: str) -> Iterable[Obj]: ...

    def has_namespace(self, namespace: str) -> bool: ...

    def service_of_ip(self, ip: str) -> Obj | None: ...

    def slices_of_ip(self, ip: str) -> Iterable[Obj]: ...


@dataclass(frozen=True, slots=True)
class Zone:
    """The cluster's domain and the addresses of its name server."""

    domain: Name
    server_ips: tuple[str, ...]

    def has(self, name: Name) -> bool:
        return name[-len(self.domain) :] == self.domain

    @property
    def server(self) -> Name:
        return ("ns", "dns", *self.domain)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    ip: str
    hostname: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


def answer(zone: Zone, name: Name, type_: int, view: View) -> Answer | None:
    """The answer to a question, or None if the name is not ours to answer."""
    if zone.has(name):
        return _in_zone(zone, name, type_, view)
    ip = _reversed_address(name)
    return _reverse(zone, ip, name, type_, view) if ip is not None else None


def soa(zone: Zone) -> Record:
    """The zone's start of authority; ``data`` is the primary server."""
    return Record(zone.domain, Type.SOA, TTL_SECONDS_NEGATIVE, ".".join(zone.server))


def pod_name(ip: str) -> str:
    """The label that stands for an address without a hostname: ``10-244-1-5``, ``fd00--1-5``."""
    return ip.replace(".", "-").replace(":", "-")


def address_record(name: Name, ttl_seconds: int, ip: str) -> Record:
    return Record(name, Type.AAAA if ":" in ip else Type.A, ttl_seconds, ip)


def _in_zone(zone: Zone, name: Name, type_: int, view: View) -> Answer:
    labels = name[: len(name) - len(zone.domain)]
    if not labels:
        return _apex(zone, type_)
    if labels == ("dns-version",):
        return _only(type_, Record(name, Type.TXT, TTL_SECONDS, SPECIFICATION_VERSION))
    if name == zone.server:
        return _only(type_, *_server_addresses(zone))
    if labels == ("dns",):
        return NO_DATA
    if labels[-1] == "svc":
        return _services(zone, labels[:-1], name, type_, view)
    if labels[-1] == "pod":
        return _pods(labels[:-1], name, type_, view)
    return NAME_ERROR


def _apex(zone: Zone, type_: int) -> Answer:
    if type_ == Type.SOA:
        return Answer(records=(soa(zone),))
    if type_ == Type.NS:
        record = Record(zone.domain, Type.NS, TTL_SECONDS, ".".join(zone.server))
        return Answer(records=(record,), additional=_server_addresses(zone))
    return NO_DATA


def _server_addresses(zone: Zone) -> tuple[Record, ...]:
    return tuple(address_record(zone.server, TTL_SECONDS, ip) for ip in zone.server_ips)


def _only(type_: int, *records: Record) -> Answer:
    """The records if they are of the asked type, or else NODATA."""
    return Answer(records=tuple(r for r in records if type_ in (r.type, Type.ANY)))


def _pods(labels: Name, name: Name, type_: int, view: View) -> Answer:
    if not labels:
        return NO_DATA
    if not view.has_namespace(labels[-1]):
        return NAME_ERROR
    if len(labels) == 1:
        return NO_DATA
    if len(labels) > 2:
        return NAME_ERROR
    for separator in (".", ":"):
        try:
            ip = str(ipaddress.ip_address(labels[0].replace("-", separator)))
        except ValueError:
            continue
        return _only(type_, address_record(name, TTL_SECONDS, ip))
    return NAME_ERROR


def _services(zone: Zone, labels: Name, name: Name, type_: int, view: View) -> Answer:
    if not labels:
        return NO_DATA
    if not view.has_namespace(labels[-1]):
        return NAME_ERROR
    if len(labels) == 1:
        return NO_DATA
    namespace, service_name, rest = labels[-1], labels[-2], labels[:-2]
    service = view.service(namespace, service_name)
    if service is None:
        return NAME_ERROR
    service_domain = name[len(rest) :]
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return _external_name(spec, rest, name)
    if len(rest) == 1 and not rest[0].startswith("_"):
        endpoints = [
            e for e in _endpoints(view.slices(namespace, service_name)) if e.hostname == rest[0]
        ]
        return _endpoint_addresses(endpoints, name, type_)
    wanted = _wanted_port(rest)
    if wanted is None:
        return NAME_ERROR
    if spec.get("clusterIP") in (None, "", "None"):
        endpoints = list(_endpoints(view.slices(namespace, service_name)))
        return _headless(endpoints, wanted, name, service_domain, type_)
    return _cluster_ip(service, wanted, name, service_domain, type_)


def _external_name(spec: Obj, rest: Name, name: Name) -> Answer:
    if rest:
        return NAME_ERROR
    target = str(spec.get("externalName") or "").rstrip(".")
    # An address as external name is not a name: the specification has no record for it.
    if not target or is_address(target):
        return NAME_ERROR
    return Answer(records=(Record(name, Type.CNAME, TTL_SECONDS, target),))


def _wanted_port(rest: Name) -> tuple[str, str] | None:
    """Port name and protocol of ``_port._protocol``; empty ones match all; None: malformed."""
    if not rest:
        return "", ""
    if len(rest) == 1 and rest[0] in ("_tcp", "_udp", "_sctp"):
        return "", rest[0][1:]
    if len(rest) == 2 and rest[0].startswith("_") and rest[1].startswith("_"):
        return rest[0][1:], rest[1][1:]
    return None


def _matches(wanted: tuple[str, str], name: str, protocol: str) -> bool:
    return wanted[0] in ("", name.lower()) and wanted[1] in ("", protocol.lower())


def _cluster_ip(
    service: Obj, wanted: tuple[str, str], name: Name, service_domain: Name, type_: int
) -> Answer:
    spec = service["spec"]
    ips = spec.get("clusterIPs") or [spec["clusterIP"]]
    ports = [
        (p.get("name") or "", p.get("protocol") or "TCP", int(p["port"]))
        for p in spec.get("ports") or ()
    ]
    ports = [p for p in ports if _matches(wanted, p[0], p[1])]
    if not ports and wanted != ("", ""):
        return NAME_ERROR
    if type_ != Type.SRV:
        return _only(type_, *(address_record(name, TTL_SECONDS, ip) for ip in ips))
    weight = 100 // max(1, len(ports))
    target = ".".join(service_domain)
    return Answer(
        records=tuple(
            Record(name, Type.SRV, TTL_SECONDS, target, port=number, weight=weight)
            for number in _unique(number for _, _, number in ports)
        ),
        additional=tuple(address_record(service_domain, TTL_SECONDS, ip) for ip in ips),
    )


def _headless(
    endpoints: list[_Endpoint],
    wanted: tuple[str, str],
    name: Name,
    service_domain: Name,
    type_: int,
) -> Answer:
    found = [
        (e, number)
        for e in endpoints
        # A port-less headless service has slices without ports; its addresses count all the same.
        for port_name, protocol, number in (e.ports or (("", "", 0),))
        if _matches(wanted, port_name, protocol)
    ]
    if type_ != Type.SRV:
        return _endpoint_addresses([e for e, _ in found], name, type_)
    if not found:
        return NAME_ERROR
    named = [(e, number) for e, number in found if number]
    additional = {
        e.ip: address_record((e.hostname, *service_domain), TTL_SECONDS_ENDPOINTS, e.ip)
        for e, _ in named
    }
    # An endpoint with a name has it at its addresses of both families.
    targets = _unique((e.hostname, number) for e, number in named)
    weight = max(1, 100 // max(1, len(targets)))
    records = tuple(
        Record(
            name,
            Type.SRV,
            TTL_SECONDS_ENDPOINTS,
            ".".join((hostname, *service_domain)),
            port=number,
            weight=weight,
        )
        for hostname, number in targets
    )
    return Answer(records=records, additional=tuple(additional.values()))


def _endpoint_addresses(endpoints: list[_Endpoint], name: Name, type_: int) -> Answer:
    if not endpoints:
        return NAME_ERROR
    ips = _unique(e.ip for e in endpoints)
    return _only(type_, *(address_record(name, TTL_SECONDS_ENDPOINTS, ip) for ip in ips))


def _endpoints(slices: Iterable[Obj]) -> Iterable[_Endpoint]:
    """The ready endpoints. Whoever wants unready ones published has them marked ready."""
    for slice_ in slices:
        if slice_.get("addressType") not in ("IPv4", "IPv6"):
            continue
        ports = tuple(
            (p.get("name") or "", p.get("protocol") or "TCP", int(p["port"]))
            for p in slice_.get("ports") or ()
            if p.get("port")
        )
        for entry in slice_.get("endpoints") or ():
            if (entry.get("conditions") or {}).get("ready") is False:
                continue
            ip = canonical_address(entry["addresses"][0])
            if ip is None:
                continue
            yield _Endpoint(ip, (entry.get("hostname") or pod_name(ip)).lower(), ports)


def _reversed_address(name: Name) -> str | None:
    """The address that a name below in-addr.arpa or ip6.arpa stands for; None for other names."""
    backwards = name[-3::-1]
    try:
        if name[-2:] == ("in-addr", "arpa"):
            return str(ipaddress.IPv4Address(".".join(backwards)))
        nibbles = "".join(backwards)
        if name[-2:] == ("ip6", "arpa") and len(backwards) == len(nibbles) == _NIBBLES:
            return str(ipaddress.IPv6Address(bytes.fromhex(nibbles)))
    except ValueError:
        return None
    return None


def _reverse(zone: Zone, ip: str, name: Name, type_: int, view: View) -> Answer | None:
    service = view.service_of_ip(ip)
    if service is not None:
        target = (name_of(service), namespace_of(service), "svc", *zone.domain)
        return _only(type_, Record(name, Type.PTR, TTL_SECONDS, ".".join(target)))
    targets = {
        ".".join((e.hostname, owner, namespace_of(slice_), "svc", *zone.domain))
        for slice_ in view.slices_of_ip(ip)
        for e in _endpoints((slice_,))
        if e.ip == ip and (owner := service_name_of(slice_))
    }
    if not targets:
        return None
    records = (Record(name, Type.PTR, TTL_SECONDS_ENDPOINTS, t) for t in sorted(targets))
    return _only(type_, *records)


def _unique(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))
