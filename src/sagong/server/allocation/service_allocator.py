"""Give services their cluster IPs and node ports.

A cluster IP is reserved by creating the IPAddress object that bears its name: whoever creates it
has it, on any server. A node port is taken if a stored service has it or a write under way has
reserved it in this process.

How the registry calls it, for services only:

1. as the last admission plugin, ``await allocator.admit(attributes)``;
2. once the write is over, whatever its end, ``await allocator.settle(attributes, stored=...)``:
   what a write that failed had reserved is given back, and what the service no longer has;
3. after a service is gone from the store, ``await allocator.release(service)``;
4. at start ``await allocator.ensure_default_range()``, then ``await allocator.repair()`` every few
   minutes: lost reservations are made again, and those of nobody are removed.

A dry run reserves nothing.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sagong.api.address_ranges import parse_ranges
from sagong.api.call import Call, Verb
from sagong.api.errors import AlreadyExists, InternalError, NotFound, invalid
from sagong.api.meta import name_of, namespace_of
from sagong.api.resources import BUILT_IN
from sagong.api.types import Obj, Resource, User
from sagong.api.validation import ErrorList, Path
from sagong.core.ids import Ids
from sagong.server.admission.interface import Attributes, Lister, Operation
from sagong.server.allocation.families import set_families
from sagong.server.allocation.ranges import Band, address_band, address_text, port_band
from sagong.server.handlers import Storage
from sagong.server.kinds.addresses import Network, parse_cidr, parse_ip
from sagong.server.kinds.core.service import (
    needs_cluster_ip,
    needs_health_check_port,
    needs_node_port,
)
from sagong.server.kinds.core.service_validation import (
    is_headless,
    validate_service,
    validate_service_update,
)

IP_FAMILY_LABEL = "ipaddress.kubernetes.io/ip-family"
MANAGED_BY_LABEL = "ipaddress.kubernetes.io/managed-by"
MANAGER = "ipallocator.k8s.io"
DEFAULT_RANGE = "kubernetes"
_SERVER = User("system:apiserver", groups=("system:masters", "system:authenticated"))
_SPEC = Path("spec")
_INTERNAL = "Internal error occurred"
# A reservation whose write was never settled (its task was killed) stops counting after this;
# no write takes as long.
_RESERVATION_SECONDS = 60.0


def _built_in(plural: str) -> Resource:
    return next(r for r in BUILT_IN if r.plural == plural and r.group == "networking.k8s.io")


_ADDRESSES = _built_in("ipaddresses")
_RANGES = _built_in("servicecidrs")


@dataclass(slots=True)
class _Reservation:
    """What one write under way holds."""

    addresses: list[str] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    expires: float = 0.0


class ServiceAllocator:
    """An admission plugin for services; see the module's docstring."""

    name = "ServiceAllocator"

    def __init__(
        self, storage: Storage, lister: Lister, *, cidr: str, port_range: range, ids: Ids
    ) -> None:
        """``cidr``: the range made at start-up, or two of different families, with a comma between
        them; the first one's family is what a service has that asks for none."""
        self._storage = storage
        self._lister = lister
        self._default_ranges = parse_ranges(cidr)
        self._ports = port_range
        self._port_band = port_band(port_range)
        self._ids = ids
        self._reserved: dict[int, _Reservation] = {}
        self._orphans: set[str] = set()

    async def admit(self, attributes: Attributes) -> None:
        """Allocate what the service needs and lacks. Raises Invalid or InternalError."""
        service, old = attributes.obj, attributes.old
        if attributes.is_again:
            return  # what was allocated in the first round would be taken for somebody else's
        if not _concerns(attributes) or service is None or not _is_valid(service, old):
            return  # what is not valid is refused by validation, in its own words
        errors = ErrorList()
        before = old["spec"] if old else None
        set_families(service["spec"], before, self._families(), errors)
        if errors:
            raise invalid("", "Service", name_of(service), errors)
        reservation = _Reservation(expires=_loop_time() + _RESERVATION_SECONDS)
        if not attributes.dry_run:
            self._reserved[id(attributes)] = reservation
        try:
            await self._allocate_addresses(service, old, reservation, dry_run=attributes.dry_run)
            self._allocate_ports(service, before, reservation)
        except BaseException:
            await self.settle(attributes, stored=False)
            raise

    async def validate(self, attributes: Attributes) -> None:
        """Nothing: the strategy validates services."""

    async def settle(self, attributes: Attributes, *, stored: bool) -> None:
        """The write of ``attributes`` is over; safe to call for any write, more than once."""
        reservation = self._reserved.pop(id(attributes), None)
        if reservation is None:
            return
        if not stored:
            for address in reservation.addresses:
                await self._delete_address(address)
            return
        old, new = attributes.old, attributes.obj
        if old is not None and new is not None:
            kept = set(_addresses_of(new))
            for address in _addresses_of(old):
                if address not in kept:
                    await self._delete_address(address)

    async def release(self, service: Obj) -> None:
        """Give back the addresses of a service that is gone; its ports go with it."""
        for address in _addresses_of(service):
            held = self._lister.get(_ADDRESSES.name, "", address)
            if held is None or _belongs_to(held.obj, service):
                await self._delete_address(address)

    async def ensure_default_range(self) -> None:
        """Make the ServiceCIDR ``kubernetes`` unless it exists."""
        body: Obj = {
            "apiVersion": _RANGES.api_version,
            "kind": _RANGES.kind,
            "metadata": {"name": DEFAULT_RANGE},
            "spec": {"cidrs": [str(network) for network in self._default_ranges]},
        }
        try:
            await self._storage.execute(Call(Verb.CREATE, _RANGES, body=body), _SERVER)
        except AlreadyExists:
            return

    async def repair(self) -> None:
        """Make reservations that services lack; remove those seen twice without their service."""
        services = {
            (namespace_of(e.obj), name_of(e.obj)): e.obj for e in self._lister.list("services")
        }
        for service in services.values():
            for address in _addresses_of(service):
                if self._lister.get(_ADDRESSES.name, "", address) is None:
                    await self._create_address(address, service)
        orphans = {name for name in self._managed() if self._is_orphan(name, services)}
        for name in orphans & self._orphans:
            await self._delete_address(name)
        self._orphans = orphans

    def _managed(self) -> list[str]:
        return [
            name_of(e.obj)
            for e in self._lister.list(_ADDRESSES.name)
            if (e.obj["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGER
        ]

    def _is_orphan(self, address: str, services: dict[tuple[str, str], Obj]) -> bool:
        if any(address in r.addresses for r in self._reserved.values()):
            return False
        held = self._lister.get(_ADDRESSES.name, "", address)
        parent = ((held.obj if held else {}).get("spec") or {}).get("parentRef") or {}
        service = services.get((parent.get("namespace", ""), parent.get("name", "")))
        return service is None or address not in _addresses_of(service)

    # Addresses

    def _families(self) -> Sequence[str]:
        """The cluster's families; the first default range's first."""
        first = f"IPv{self._default_ranges[0].version}"
        others = {f"IPv{n.version}" for n in self._networks()} - {first}
        return [first, *sorted(others)]

    def _networks(self) -> list[Network]:
        """Ranges in use: of every ServiceCIDR that is ready and stays; the default before any."""
        stored = [e.obj for e in self._lister.list(_RANGES.name)]
        texts = [
            text
            for obj in stored
            if _is_ready(obj)
            for text in (obj.get("spec") or {}).get("cidrs") or ()
        ]
        found = [n for n in map(parse_cidr, texts) if n is not None]
        return found if stored else list(self._default_ranges)

    async def _allocate_addresses(
        self, service: Obj, old: Obj | None, reservation: _Reservation, *, dry_run: bool
    ) -> None:
        spec = service["spec"]
        if not needs_cluster_ip(spec) or is_headless(spec):
            return
        held = _addresses_of(old) if old else []
        asked = list(spec.get("clusterIPs") or ())
        given: list[str] = []
        for i, family in enumerate(spec["ipFamilies"]):
            wanted = asked[i] if i < len(asked) else ""
            if wanted and wanted in held:
                given.append(wanted)
            elif wanted:
                await self._take(wanted, service, reservation, dry_run=dry_run)
                given.append(wanted)
            else:
                given.append(await self._take_any(family, service, reservation, dry_run=dry_run))
        spec["clusterIPs"], spec["clusterIP"] = given, given[0]

    async def _take(
        self, wanted: str, service: Obj, reservation: _Reservation, *, dry_run: bool
    ) -> None:
        """Reserve the address that the service asks for."""
        why = self._unfit(wanted)
        if not why and not dry_run:
            if await self._create_address(wanted, service):
                reservation.addresses.append(str(parse_ip(wanted)))
            else:
                why = "provided IP is already allocated"
        if why:
            errors = ErrorList()
            ips = service["spec"]["clusterIPs"]
            message = f"failed to allocate IP {wanted}: {why}"
            errors.invalid(_SPEC.child("clusterIPs"), ips, message)
            raise invalid("", "Service", name_of(service), errors)

    def _unfit(self, wanted: str) -> str:
        ip = parse_ip(wanted)
        for network in self._networks():
            if ip is None or ip.version != network.version or ip not in network:
                continue
            if int(ip) in address_band(network):
                return ""
            return (
                f"the provided IP ({wanted}) is not in the valid range. "
                f"The range of valid IPs is {network}"
            )
        return "the provided network does not match the current range"

    async def _take_any(
        self, family: str, service: Obj, reservation: _Reservation, *, dry_run: bool
    ) -> str:
        for network in self._networks():
            if f"IPv{network.version}" != family:
                continue
            if dry_run:
                return str(network.network_address)
            for number in address_band(network).candidates(self._ids.random()):
                address = address_text(number, network.version)
                if self._lister.get(_ADDRESSES.name, "", address) is not None:
                    continue
                if await self._create_address(address, service):
                    reservation.addresses.append(address)
                    return address
        raise InternalError(
            "Internal error occurred: failed to allocate a serviceIP: range is full"
        )

    async def _create_address(self, address: str, service: Obj) -> bool:
        """Reserve an address; False if somebody else has it."""
        ip = parse_ip(address)
        version = ip.version if ip is not None else 4
        body: Obj = {
            "apiVersion": _ADDRESSES.api_version,
            "kind": _ADDRESSES.kind,
            "metadata": {
                "name": str(ip),
                "labels": {IP_FAMILY_LABEL: f"IPv{version}", MANAGED_BY_LABEL: MANAGER},
            },
            "spec": {
                "parentRef": {
                    "resource": "services",
                    "namespace": namespace_of(service),
                    "name": name_of(service),
                }
            },
        }
        try:
            await self._storage.execute(Call(Verb.CREATE, _ADDRESSES, body=body), _SERVER)
        except AlreadyExists:
            return False
        return True

    async def _delete_address(self, address: str) -> None:
        try:
            await self._storage.execute(Call(Verb.DELETE, _ADDRESSES, name=address), _SERVER)
        except NotFound:
            return

    # Ports

    def _allocate_ports(self, service: Obj, old: Obj | None, reservation: _Reservation) -> None:
        """Node ports for what lacks one. No await from the first look to the last reservation."""
        spec = service["spec"]
        operation = _Ports(
            band=self._port_band,
            shown=f"{self._ports.start}-{self._ports.stop - 1}",
            taken=self._taken_ports(),
            held=set(_ports_of(old)) if old else set(),
            reservation=reservation,
            random=self._ids.random(),
        )
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            _allocate_node_ports(service, operation, wanted=needs_node_port(spec))
        if needs_health_check_port(spec):
            requested = spec.get("healthCheckNodePort") or 0
            why = operation.take(requested) if requested else ""
            if why:
                raise InternalError(
                    f"{_INTERNAL}: failed to allocate requested HealthCheck NodePort "
                    f"{requested}: {why}"
                )
            if not requested:
                spec["healthCheckNodePort"] = operation.take_any("HealthCheck NodePort 0")

    def _taken_ports(self) -> set[int]:
        taken = {p for e in self._lister.list("services") for p in _ports_of(e.obj["spec"])}
        now = _loop_time()
        for key in [k for k, r in self._reserved.items() if r.expires < now]:
            del self._reserved[key]
        for reservation in self._reserved.values():
            taken |= reservation.ports
        return taken


@dataclass(slots=True)
class _Ports:
    """The ports that one write takes; ``held`` are those the service has already."""

    band: Band
    shown: str
    taken: set[int]
    held: set[int]
    reservation: _Reservation
    random: float

    def take(self, port: int) -> str:
        """Reserve a port asked for; says why not."""
        if port in self.held or port in self.reservation.ports:
            return ""
        if port not in self.band:
            valid = f"The range of valid ports is {self.shown}"
            return f"provided port is not in the valid range. {valid}"
        if port in self.taken:
            return "provided port is already allocated"
        self.reservation.ports.add(port)
        return ""

    def take_any(self, what: str) -> int:
        for port in self.band.candidates(self.random):
            if port not in self.taken and port not in self.reservation.ports:
                self.reservation.ports.add(port)
                return port
        raise InternalError(f"{_INTERNAL}: failed to allocate a {what}: range is full")


def _allocate_node_ports(service: Obj, operation: _Ports, *, wanted: bool) -> None:
    """Ports of the same number (TCP and UDP) share one node port, unless told otherwise."""
    ports = service["spec"].get("ports") or []
    for i, port in enumerate(ports):
        requested = port.get("nodePort") or 0
        if not requested:
            continue
        why = operation.take(requested)
        if why:
            errors = ErrorList()
            errors.invalid(_SPEC.child("ports").index(i).child("nodePort"), requested, why)
            raise invalid("", "Service", name_of(service), errors)
    shared = {p.get("port"): p["nodePort"] for p in reversed(ports) if p.get("nodePort")}
    taken = {(p.get("protocol"), p["nodePort"]) for p in ports if p.get("nodePort")}
    for port in ports:
        if port.get("nodePort") or not wanted:
            continue
        number = shared.get(port.get("port"))
        if number is None or (port.get("protocol"), number) in taken:
            number = operation.take_any("nodePort")
        port["nodePort"] = shared[port.get("port")] = number
        taken.add((port.get("protocol"), number))


def _loop_time() -> float:
    """The running loop's time, which a simulated loop moves."""
    return asyncio.get_running_loop().time()


def _concerns(attributes: Attributes) -> bool:
    resource = attributes.resource
    if (resource.group, resource.plural) != ("", "services") or attributes.subresource:
        return False
    return attributes.operation in (Operation.CREATE, Operation.UPDATE)


def _is_valid(service: Obj, old: Obj | None) -> bool:
    errors = ErrorList()
    validate_service(service, errors)
    if old is not None:
        validate_service_update(service, old, errors)
    return not errors


def _addresses_of(service: Obj) -> list[str]:
    ips = (service.get("spec") or {}).get("clusterIPs") or ()
    return [ip for ip in ips if ip and ip != "None"]


def _ports_of(spec: Obj) -> Iterator[int]:
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            yield port["nodePort"]
    if spec.get("healthCheckNodePort"):
        yield spec["healthCheckNodePort"]


def _belongs_to(address: Obj, service: Obj) -> bool:
    parent = (address.get("spec") or {}).get("parentRef") or {}
    mine = (namespace_of(service), name_of(service))
    return (parent.get("namespace"), parent.get("name")) == mine


def _is_ready(service_cidr: Obj) -> bool:
    """Ready unless it says otherwise: the controller that says so may not be running."""
    if service_cidr["metadata"].get("deletionTimestamp"):
        return False
    for condition in (service_cidr.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            return bool(condition.get("status") == "True")
    return True
