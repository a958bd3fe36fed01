"""Keep the node's nftables table of one address family in step with Services and EndpointSlices.

Reads: Service, EndpointSlice, Node (addresses; of its own the zone).  Writes: the ``sagong`` table.
Only services that changed are planned again, and only what changed of them is sent to nft.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sagong.api.meta import key_of, labels_of, name_of
from sagong.api.types import Key, Obj
from sagong.core.clock import Clock
from sagong.ctl.controller import Cache, Watch
from sagong.network.indexes import SERVICE_INDEX, SERVICES, SLICES, service_of_slice
from sagong.network.proxy.conntrack import Conntrack
from sagong.network.proxy.endpoints import (
    Chosen,
    Here,
    choose,
    endpoints_of,
)
from sagong.network.proxy.health import LocalEndpoints
from sagong.network.proxy.rules import Config, frame, plan_nodes, plan_port
from sagong.network.proxy.services import ServicePort, service_ports
from sagong.network.routes.nodes import internal_ip
from sagong.network.tables.fragment import Fragment, merged
from sagong.network.tables.nft import Nft
from sagong.network.tables.ruleset import Ruleset
from sagong.network.tables.writer import Health, TableWriter

TABLE = "sagong"
NODES = "nodes"
ZONE_LABEL = "topology.kubernetes.io/zone"

WATCHES = (
    Watch(SERVICES),
    Watch(SLICES, indexes={SERVICE_INDEX: service_of_slice}),
    Watch(NODES),
)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is remembered of a service: its ports with the endpoints in use."""

    ports: tuple[tuple[ServicePort, Chosen], ...]


class ServiceProxy:
    """Tell it of every change with ``changed`` after the cache has it; ``run`` does the rest."""

    def __init__(
        self,
        cache: Cache,
        node_name: str,
        config: Config,
        *,
        nft: Nft,
        conntrack: Conntrack,
        clock: Clock,
        checks_changed: asyncio.Event | None = None,
    ) -> None:
        """``checks_changed`` is set when services ask for other health checks, or their local
        endpoints are others; proxies of two families may share one."""
        self._cache = cache
        self._here = Here(node_name)
        self._config = config
        self.family = config.family
        self._conntrack = conntrack
        self._table = TableWriter(TABLE, frame(config), nft=nft, clock=clock, family=config.family)
        self._planned: dict[Key, _Planned] = {}
        self._checks: dict[int, LocalEndpoints] = {}
        self._dirty: dict[Key, None] = {}
        self._all_dirty = True
        self._nodes_dirty = True
        self._far: frozenset[str] = frozenset()
        self._stale_udp: dict[Key, _Planned] = {}  # what UDP services were before they changed
        self._lock = asyncio.Lock()  # one sync at a time
        self.checks_changed = checks_changed or asyncio.Event()

    @property
    def health(self) -> Health:
        return self._table.health

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        """An object of one of WATCHES was added, changed or removed. Never waits."""
        if resource == SERVICES:
            self._touch(key_of(obj) for obj in (old, new) if obj)
        elif resource == SLICES:
            for obj in (old, new):
                self._touch(Key(*v.split("/", 1)) for v in (service_of_slice(obj) if obj else ()))
        elif resource == NODES:
            self._node_changed(old, new)

    def put_far_nodes(self, names: frozenset[str]) -> None:
        """The nodes that share no link with this one: no router takes packets of pods to them, so
        that they go under this node's address."""
        if names != self._far:
            self._far = names
            self._nodes_dirty = True
            self._table.wake()

    async def run(self) -> None:
        """Write the whole table, then every change. The cache must have synced before."""
        self._table.wake()
        while True:
            await self._table.wait()
            await self.sync()

    async def sync(self) -> bool:
        """Bring the kernel up to date now. False if nft refused; then the next try is full."""
        async with self._lock:
            self.plan_nowait()
            if not await self._table.write():
                return False
            stale, self._stale_udp = self._stale_udp, {}
            await self._forget_udp(stale)
            return True

    def plan_nowait(self) -> Ruleset:
        """Bring the desired ruleset up to date with the cache; the kernel gets it at a sync."""
        if self._all_dirty:
            self._all_dirty = False
            self._dirty.update(dict.fromkeys(key_of(s) for s in self._cache.list(SERVICES)))
            self._dirty.update(dict.fromkeys(self._planned))
        if self._nodes_dirty:
            self._nodes_dirty = False
            nodes = self._cache.list(NODES)
            near = (node for node in nodes if name_of(node) not in self._far)
            ips = filter(None, (internal_ip(node, self.family) for node in near))
            self._table.ruleset.put(NODES, plan_nodes(ips))
        dirty, self._dirty = self._dirty, {}
        for key in dirty:
            self._plan_service(key)
        return self._table.ruleset

    async def remove(self) -> None:
        """Take the table away, at the end of the node's life. Raises NftError."""
        await self._table.remove()

    def health_checks(self) -> Mapping[int, LocalEndpoints]:
        """By port, the services that want to be checked on this node."""
        return dict(self._checks)

    def counts(self) -> tuple[int, int]:
        """How many service ports and endpoints are planned, for metrics."""
        ports = [chosen for planned in self._planned.values() for _, chosen in planned.ports]
        return len(ports), sum(len(chosen.all) for chosen in ports)

    def _note_checks(self, key: Key, before: _Planned | None, now: _Planned) -> None:
        for port, _ in () if before is None else before.ports:
            if self._checks.pop(port.health_check_port, None) is not None:
                self.checks_changed.set()
        local: set[str] = set()
        for port, chosen in now.ports:
            local |= {endpoint.ip for endpoint in chosen.local if endpoint.ready}
            if port.health_check_port:
                self._checks[port.health_check_port] = LocalEndpoints(key, len(local))
                self.checks_changed.set()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        addresses = tuple(internal_ip(n, self.family) if n else None for n in (old, new))
        if addresses[0] != addresses[1] or old is None:
            self._nodes_dirty = True
            self._table.wake()
        if new and name_of(new) == self._here.node_name:
            self._put_node_ip(internal_ip(new, self.family) or "")
            zone = labels_of(new).get(ZONE_LABEL, "")
            if zone != self._here.zone:
                self._here = Here(self._here.node_name, zone)
                self._all_dirty = True
                self._table.wake()

    def _put_node_ip(self, ip: str) -> None:
        if ip == self._config.node_ip:
            return
        self._config = replace(self._config, node_ip=ip)
        for key, planned in self._planned.items():
            if any(port.source_ranges for port, _ in planned.ports):
                self._table.ruleset.put(key, self._fragment(planned))
                self._table.wake()

    def _touch(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._dirty[key] = None
            self._table.wake()

    def _plan_service(self, key: Key) -> None:
        service = self._cache.get(SERVICES, key.namespace, key.name)
        ports = service_ports(service, self.family) if service is not None else ()
        slices = tuple(self._cache.with_index(SLICES, SERVICE_INDEX, str(key))) if ports else ()
        planned = _Planned(
            tuple((p, choose(endpoints_of(slices, p, self.family), p, self._here)) for p in ports)
        )
        before = self._planned.get(key)
        if before == planned:
            return
        self._note_checks(key, before, planned)
        if before is not None and any(p.protocol == "udp" for p, _ in before.ports):
            self._stale_udp.setdefault(key, before)
        elif any(p.protocol == "udp" for p in ports):
            self._stale_udp.setdefault(key, _Planned(()))
        if not ports:
            self._planned.pop(key, None)
            self._table.ruleset.put(key, None)
            return
        self._planned[key] = planned
        self._table.ruleset.put(key, self._fragment(planned))

    def _fragment(self, planned: _Planned) -> Fragment:
        return merged(plan_port(port, chosen, self._config) for port, chosen in planned.ports)

    async def _forget_udp(self, touched: dict[Key, _Planned]) -> None:
        """Flows of changed UDP services that an endpoint no longer in use answers."""
        if not touched:
            return
        flows: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for key, before in touched.items():
            now = self._planned.get(key, _Planned(()))
            for address in _udp_addresses(before).keys() | _udp_addresses(now).keys():
                flows.setdefault(address, set())
            for address, endpoints in _udp_addresses(now).items():
                flows[address] |= endpoints
        for address in tuple(flows):
            # The node itself answers there; its flows are nobody's to forget.
            if address[0] in self._config.own_service_ips and not flows[address]:
                del flows[address]
        await self._conntrack.forget(flows, self.family)


def _udp_addresses(planned: _Planned) -> dict[tuple[str, int], set[tuple[str, int]]]:
    """Where the UDP ports of a service are reached, and the endpoints that answer there."""
    found: dict[tuple[str, int], set[tuple[str, int]]] = {}
    for port, chosen in planned.ports:
        if port.protocol != "udp":
            continue
        addresses = [(ip, port.port) for ip in port.all_ips]
        if port.node_port:
            addresses.append(("", port.node_port))
        for address in addresses:
            found.setdefault(address, set()).update((e.ip, e.port) for e in chosen.all)
    return found
