"""Everything that a node does for the network, as one component of the agent's process.

    network = NodeNetwork(NetworkConfig(node_name="a", state_dir=...), cache, pods, clock=...)
    network.follow(cache)        a SharedCache: declares WATCHES, hears of changes
    network.follow_pods(pods)    one of its own for the pods of all nodes, run only when wanted
    await cache.wait_synced()    with cache.run() going on beside it
    await network.run()          until cancelled; leaves the kernel's state for the next start
    await remove_network(config) at the end of the node's life: nothing of ours is left

It works on the network namespace that the process is in.
"""

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sagong.api.meta import key_of, name_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.core.netlink import NetlinkError
from sagong.core.supervision import supervised
from sagong.core.tasks import task_group
from sagong.ctl.controller import Cache
from sagong.ctl.informer import SharedCache
from sagong.network.dns.server import DnsConfig, DnsServer
from sagong.network.dns.upstream import StubDomains
from sagong.network.dns.view import WATCHES as DNS_WATCHES
from sagong.network.indexes import SERVICE_INDEX, SERVICES, SLICES, ready_nodes
from sagong.network.ingress.config import Ports, Surroundings
from sagong.network.ingress.gateway_watch import GatewayWatch
from sagong.network.ingress.haproxy import Haproxy
from sagong.network.ingress.server import WATCHES as INGRESS_WATCHES
from sagong.network.ingress.server import IngressServer
from sagong.network.metrics import exposition
from sagong.network.policy.enforcer import NAMESPACES, PODS, POLICIES, PolicyEnforcer
from sagong.network.policy.enforcer import TABLE as POLICY_TABLE
from sagong.network.policy.enforcer import WATCHES as POLICY_WATCHES
from sagong.network.policy.enforcers import PolicyEnforcers
from sagong.network.proxy.conntrack import Conntrack
from sagong.network.proxy.health import Facts, HealthServer, LocalEndpoints
from sagong.network.proxy.rules import Config
from sagong.network.proxy.service_proxy import NODES, TABLE, ServiceProxy
from sagong.network.proxy.service_proxy import WATCHES as PROXY_WATCHES
from sagong.network.routes.addresses import (
    BALANCER_LABEL,
    add_local_address,
    local_addresses,
    remove_local_address,
)
from sagong.network.routes.announcing import announce, balancer_addresses, plan_announced
from sagong.network.routes.bridge import ensure_bridge
from sagong.network.routes.cni import (
    PodLinks,
    installed_plugins,
    plan_conflist,
    remove_conflist,
    write_conflist,
)
from sagong.network.routes.nodes import pod_cidrs
from sagong.network.routes.routes import (
    apply_routes,
    is_on_link,
    plan_far_routes,
    plan_routes,
    remove_link,
)
from sagong.network.routes.sysctl import BRIDGE_FILTERS, Sysctls, load_bridge_filter, settings_of
from sagong.network.routes.tunnel import Encapsulation, far_nodes, plan_tunnel
from sagong.network.routes.vxlan import DEVICE, NoTunnelError, apply_tunnel
from sagong.network.tables.family import (
    FAMILIES,
    IPV6,
    Family,
    families_in,
    family_of_address,
    range_of,
)
from sagong.network.tables.nft import Nft
from sagong.network.tables.ruleset import removal
from sagong.network.tables.writer import Health, worst

log = logging.getLogger(__name__)

# Some resources are in several; their indexes have different names or are the same.
WATCHES = (*PROXY_WATCHES, *DNS_WATCHES, *POLICY_WATCHES, *INGRESS_WATCHES)

ROUTES_RESYNC_SECONDS = 60.0  # a route that someone else took away is back by then
BALANCERS_COALESCE_SECONDS = 0.1  # nodes report often
ROUTES_RETRY_SECONDS = 2.0  # a gateway may become reachable any moment


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What the network of a node is made from; the same on every node but for the first two."""

    node_name: str
    state_dir: Path  # this node's own: addresses given to pods, kernel settings as they were
    # One range, or two of different families with a comma between them: dual stack.
    cluster_cidr: str = "10.244.0.0/16"
    service_cidr: str = "10.96.0.0/16"
    cni_conf_dir: Path = Path("/etc/cni/net.d")
    cni_bin_dirs: tuple[Path, ...] = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))
    bridge: str = "sagong-cni0"
    dns_ips: Sequence[str] = ("10.96.0.10",)  # none leaves cluster DNS to somebody else
    dns_domain: str = "cluster.local"
    resolv_conf: Path = Path("/etc/resolv.conf")  # the machine's resolvers, for all other names
    stub_domains: StubDomains = field(default_factory=dict)
    ingress_ports: Ports = field(default_factory=Ports)
    encapsulation: Encapsulation = Encapsulation.AUTO
    # Ranges of addresses that node ports are reached at; none of a family: all of it.
    node_port_ranges: Sequence[str] = ()

    @property
    def families(self) -> tuple[Family, ...]:
        return families_in(self.cluster_cidr)


class NodeNetwork:
    """Service proxy, cluster DNS, pod routes and CNI configuration of one node."""

    def __init__(
        self,
        config: NetworkConfig,
        cache: Cache,
        pods: Cache | None = None,
        *,
        clock: Clock,
        client: Client | None = None,
        gateways: SharedCache | None = None,
    ) -> None:
        """``pods`` has, once it is run, the pods of all nodes; without it ``cache`` has them.

        The client reads the certificates of Ingresses; ``gateways`` will have the objects of the
        Gateway API.
        """
        self._config = config
        self._cache = cache
        self._nodes_changed = asyncio.Event()
        self._balancers_changed = asyncio.Event()
        self._bridge_is_filtered = True
        self._unreachable: frozenset[str] = frozenset()
        self._sysctls = _kernel_settings(config)
        checks_changed = asyncio.Event()
        self.proxies = tuple(
            ServiceProxy(
                cache,
                config.node_name,
                _rules_config(config, family),
                nft=Nft(),
                conntrack=Conntrack(),
                clock=clock,
                checks_changed=checks_changed,
            )
            for family in config.families
        )
        name = config.node_name
        self.policies = PolicyEnforcers(
            [
                PolicyEnforcer(cache, pods or cache, name, nft=Nft(), clock=clock, family=family)
                for family in config.families
            ]
        )
        self._pods: SharedCache | None = None
        if pods is None:
            self.policies.set_pods_known()
        self.ingresses = _ingress_server(config, cache, client, gateways)
        facts = Facts(
            lambda: self.health,
            lambda: self._cache.get(NODES, "", config.node_name),
            self._health_checks,
            self._metrics,
        )
        hosts = [family.any_address for family in config.families]
        self._health_server = HealthServer(facts, clock, checks_changed, hosts)
        dns = DnsConfig(
            tuple(config.dns_ips),
            config.dns_domain,
            resolv_conf=config.resolv_conf,
            stub_domains=config.stub_domains,
        )
        self.dns = DnsServer(dns, cache, clock=clock) if config.dns_ips else None

    @property
    def health(self) -> Health:
        """When services were last written to the kernel, and what went wrong if anything did."""
        return worst(proxy.health for proxy in self.proxies)

    def follow(self, cache: SharedCache) -> None:
        """Have the cache keep what is read here, and hear of its changes."""
        for watch in WATCHES:
            cache.declare(watch.resource, watch.indexes)
        for resource in {watch.resource for watch in WATCHES}:
            cache.on_change(resource, functools.partial(self.changed, resource))

    def follow_pods(self, pods: SharedCache) -> None:
        """The cache that ``run`` runs from the first policy on."""
        self._pods = pods
        pods.declare(PODS)
        pods.on_change(PODS, functools.partial(self.policies.changed, PODS))

    def changed(self, resource: str, old: Obj | None, new: Obj | None) -> None:
        """An object of one of WATCHES was added, changed or removed. Never waits."""
        for proxy in self.proxies:
            proxy.changed(resource, old, new)
        if self.dns is not None:
            self.dns.changed(resource, old, new)
        if resource in (POLICIES, NAMESPACES, PODS):
            self.policies.changed(resource, old, new)
        self.ingresses.changed(resource, old, new)
        if resource == NODES:
            self._nodes_changed.set()
        if resource in (NODES, SERVICES, SLICES):
            self._balancers_changed.set()

    async def run(self) -> None:
        """Until cancelled. Raises SysctlError if the kernel cannot forward at all."""
        await asyncio.to_thread(load_bridge_filter)
        required, optional = settings_of(self._config.families)
        missing = await asyncio.to_thread(self._sysctls.apply, required, optional)
        self._bridge_is_filtered = not BRIDGE_FILTERS.intersection(missing)
        async with task_group() as tasks:
            proxies = {f"service proxy ({p.family.name})": p.run for p in self.proxies}
            policies = {f"network policies ({e.family.name})": e.run for e in self.policies.each}
            parts = {
                **proxies,
                "pod routes": self._keep_routes,
                **policies,
                "pods of all nodes": self._keep_pods,
                "ingresses": self.ingresses.run,
                "gateways": self.ingresses.keep_gateways,
                "balancers' addresses": self._keep_balancers,
                "health checks": self._health_server.run,
            }
            if self.dns is not None:
                parts["cluster DNS"] = functools.partial(self._serve_names, self.dns)
            # One that fails is begun again by itself: the others do not depend on it.
            running = [
                tasks.start(supervised(name, part), name=name) for name, part in parts.items()
            ]
            await asyncio.gather(*running)

    async def _metrics(self) -> str:
        dropped = await self.policies.dropped_packets()
        ports, endpoints = zip(*(proxy.counts() for proxy in self.proxies), strict=True)
        counts = sum(ports), sum(endpoints)
        return exposition(self.health, self.policies.health, counts, dropped)

    def _health_checks(self) -> Mapping[tuple[str, int], LocalEndpoints]:
        """By where they are asked for: each family has its own addresses."""
        return {
            (proxy.family.any_address, port): check
            for proxy in self.proxies
            for port, check in proxy.health_checks().items()
        }

    async def _keep_pods(self) -> None:
        """The pods of all nodes, of interest only where some policy speaks of them."""
        await self.policies.pods_wanted.wait()
        if self._pods is None:
            return
        async with task_group() as tasks:
            running = tasks.start(self._pods.run(), name="pods of all nodes")
            await self._pods.wait_synced()
            self.policies.set_pods_known()
            await running

    async def _serve_names(self, dns: DnsServer) -> None:
        for ip in self._config.dns_ips:
            await asyncio.to_thread(add_local_address, ip)
        await dns.run()

    async def sync(self) -> None:
        """Bring services and routes up to date once, now, with the name server listening."""
        await self._sync_routes()
        for proxy in self.proxies:
            await proxy.sync()
        await self.policies.sync()
        if self.dns is not None:
            await self.dns.serving.wait()

    async def remove(self) -> None:
        """Leave nothing in the kernel or on disk; see remove_network. ``run`` must have ended."""
        await remove_network(self._config)

    async def _keep_routes(self) -> None:
        while True:
            self._nodes_changed.clear()
            failures = await self._sync_routes()
            for failure in failures:
                log.warning("%s", failure)
            wait = ROUTES_RETRY_SECONDS if failures else ROUTES_RESYNC_SECONDS
            try:
                async with asyncio.timeout(wait):
                    await self._nodes_changed.wait()
            except TimeoutError:
                continue

    async def _keep_balancers(self) -> None:
        """Answer for the addresses of balancers that fall to this node."""
        while True:
            self._balancers_changed.clear()
            await asyncio.to_thread(_hold_balancers, self._announced())
            await self._balancers_changed.wait()
            await asyncio.sleep(BALANCERS_COALESCE_SECONDS)

    def _announced(self) -> frozenset[str]:
        services = [s for s in self._cache.list(SERVICES) if balancer_addresses(s)]
        serving = {
            str(key_of(s)): ready_nodes(
                self._cache.with_index(SLICES, SERVICE_INDEX, str(key_of(s)))
            )
            for s in services
        }
        nodes = tuple(self._cache.list(NODES))
        return plan_announced(services, nodes, self._config.node_name, serving)

    async def _sync_routes(self) -> tuple[str, ...]:
        nodes, name = tuple(self._cache.list(NODES)), self._config.node_name
        failures: tuple[str, ...] = ()
        mode, mtu = self._config.encapsulation, None
        far = await asyncio.to_thread(far_nodes, nodes, name, mode, is_on_link)
        tunnel = plan_tunnel(nodes, name, far)
        try:
            mtu = await asyncio.to_thread(apply_tunnel, tunnel)
        except NoTunnelError as error:
            self._say_unreachable(far, error)
            far, tunnel = frozenset(), None
        except NetlinkError as error:
            failures = (f"{DEVICE} cannot be set up: {error}",)
        self._configure_cni(nodes, mtu)
        for proxy in self.proxies:
            proxy.put_far_nodes(far)
        routes = plan_routes(nodes, name, self._config.service_cidr, far)
        routes = {**routes, **plan_far_routes(tunnel)}
        return failures + await asyncio.to_thread(apply_routes, routes)

    def _say_unreachable(self, far: frozenset[str], error: Exception) -> None:
        """Once for the same nodes: it will not change by itself."""
        if far != self._unreachable:
            self._unreachable = far
            names = ", ".join(sorted(far))
            log.error("%s: routers between us and %s must know the pods of nodes", error, names)

    def _configure_cni(self, nodes: tuple[Obj, ...], mtu: int | None) -> None:
        """Write the configuration as soon as this node has been given its pod CIDR."""
        own = next((n for n in nodes if name_of(n) == self._config.node_name), None)
        of_cluster = self._config.families
        cidrs = tuple(
            cidr
            for cidr in (pod_cidrs(own) if own is not None else ())
            if any(family.has(cidr) for family in of_cluster)
        )
        if len(cidrs) < len(of_cluster):
            return
        if IPV6 in of_cluster and self._bridge_is_filtered:
            ensure_bridge(self._config.bridge, self._config.node_name)
        links = PodLinks(
            pod_cidrs=cidrs,
            bridge=self._config.bridge,
            ipam_dir=self._config.state_dir / "ipam",
            plugins=installed_plugins(self._config.cni_bin_dirs),
            bridge_is_filtered=self._bridge_is_filtered,
            mtu=mtu,
        )
        if write_conflist(self._config.cni_conf_dir, plan_conflist(links)):
            log.info("pods of this node get addresses of %s", ", ".join(cidrs))


async def remove_network(config: NetworkConfig) -> None:
    """Leave nothing of a node's network: table, routes, bridge, addresses, CNI configuration.

    Needs nothing that runs; nothing happens where nothing is left. Raises NftError.
    """
    for family in FAMILIES:
        await Nft().apply(removal(TABLE, family) + removal(POLICY_TABLE, family))
    await stop_programs(config)
    await asyncio.to_thread(apply_routes, {})
    await asyncio.to_thread(remove_link, DEVICE)
    await asyncio.to_thread(_hold_balancers, frozenset())
    await asyncio.to_thread(remove_link, config.bridge)
    for ip in config.dns_ips:
        await asyncio.to_thread(remove_local_address, ip)
    remove_conflist(config.cni_conf_dir)
    _kernel_settings(config).restore()


async def stop_programs(config: NetworkConfig) -> None:
    """End what outlives an agent, as the proxy of Ingresses does; all that need be where the node's
    network namespace goes away."""
    await Haproxy(_ingress_directory(config)).stop()


def _hold_balancers(wanted: frozenset[str]) -> None:
    present = local_addresses(BALANCER_LABEL)
    for ip in present - wanted:
        remove_local_address(ip)
    for ip in wanted - present:
        add_local_address(ip, BALANCER_LABEL)
        announce(ip)


def _ingress_server(
    config: NetworkConfig, cache: Cache, client: Client | None, gateways: SharedCache | None
) -> IngressServer:
    proxy = Haproxy(_ingress_directory(config))
    where = Surroundings(
        _ingress_directory(config),
        config.ingress_ports,
        resolver=_resolver(config),
        user=proxy.user,
        has_ipv6=IPV6 in config.families,
    )
    watch = GatewayWatch(client, gateways, cache) if client and gateways else None
    return IngressServer(cache, client, proxy, where, watch)


def _resolver(config: NetworkConfig) -> str:
    """The cluster's name server, in the proxy's words; "" if it is somebody else's."""
    ip = next(iter(config.dns_ips), "")
    return family_of_address(ip).with_port(ip, 53) if ip else ""


def _rules_config(config: NetworkConfig, family: Family) -> Config:
    """Raises ValueError if there are pods of a family but no services."""
    service_cidr = range_of(config.service_cidr, family)
    if not service_cidr:
        raise ValueError(f"no range of services is {family.name}: {config.service_cidr}")
    return Config(
        range_of(config.cluster_cidr, family),
        service_cidr,
        config.bridge,
        own_service_ips=frozenset(filter(family.has, config.dns_ips)),
        family=family,
        node_port_ranges=tuple(filter(family.has, config.node_port_ranges)),
    )


def _ingress_directory(config: NetworkConfig) -> Path:
    return config.state_dir / "ingress"


def _kernel_settings(config: NetworkConfig) -> Sysctls:
    return Sysctls(config.state_dir / "kernel-settings.json")
