"""The composition root of ``sagong agent``: builds everything by hand, no logic."""

import asyncio
import functools
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sagong.api.errors import ApiError, InternalError, ServiceUnavailable, Timeout, TooManyRequests
from sagong.api.resources import ResourceTable
from sagong.client.access import Access
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import Context, merge_context, read_context
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.core.supervision import supervised
from sagong.core.tasks import task_group
from sagong.ctl.informer import SharedCache
from sagong.local import containerd, kubelet_directory
from sagong.network.agent import NetworkConfig, NodeNetwork
from sagong.network.dns.upstream import parse_stub_domain
from sagong.network.ingress.config import Ports
from sagong.network.routes.tunnel import Encapsulation
from sagong.node.agent import NodeAgent
from sagong.node.alignment.settings import AlignmentSettings
from sagong.node.certificates import (
    CertificatePair,
    CertificateRefused,
    request_client_certificate,
    request_serving_certificate,
)
from sagong.node.config import NodeAddress, NodeConfig
from sagong.node.identity import Kept, keep_certificate, read_pem, write_pair
from sagong.node.server.certificates import SERVING
from sagong.node.server.server import NodeServer, NodeServerSettings
from sagong.node.shutdown.groups import ShutdownSettings

log = logging.getLogger(__name__)

JOIN_RETRY_SECONDS = 2.0
CERTIFICATE_RETRY = 60.0  # seconds; requests that are refused stay for people to look at


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """The settings of one agent.

    It reaches the server by ``kubeconfig``, or joins with ``join_url``, ``token`` and ``ca_file``
    and then keeps ``<data_dir>/kubeconfig``. Without ``runtime_endpoint`` it runs a containerd of
    its own below ``data_dir`` and ``run_dir``, which outlives it as the containers do.
    """

    node_name: str
    data_dir: Path
    run_dir: Path
    node_ip: str  # one address, or one of each family with a comma between them
    kubeconfig: Path | None = None
    join_url: str = ""
    token: str = ""
    ca_file: Path | None = None
    runtime_endpoint: str = ""
    cluster_cidr: str = "10.244.0.0/16"  # two, of IPv4 and IPv6, where the cluster is dual-stack
    service_cidr: str = "10.96.0.0/16"
    cluster_dns: str = "10.96.0.10"  # "" leaves cluster DNS to somebody else
    cluster_domain: str = "cluster.local"
    stub_domains: Sequence[str] = ()  # "DOMAIN=ADDRESS,...": whom to ask for names of the domain
    ingress_http_port: int = 80
    ingress_https_port: int = 443
    log_dir: Path = Path("/var/log/pods")
    cgroup_root: str = ""  # "" is kubepods-<node>
    capacity_share: int = 1  # how many nodes share this machine
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    max_pods: int = 110
    drain_seconds: float = 1.0
    bridge: str = "sagong-cni0"
    encapsulation: str = "auto"
    node_port_addresses: Sequence[str] = ()  # ranges, or "primary": the node's own addresses
    static_pod_dir: Path | None = None
    reserved: Mapping[str, str] = field(default_factory=dict)  # kubeReserved and systemReserved
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    shutdown: ShutdownSettings = field(default_factory=ShutdownSettings)

    @property
    def node_ips(self) -> Sequence[str]:
        return _split(self.node_ip)

    @property
    def node_port_ranges(self) -> Sequence[str]:
        if "primary" in self.node_port_addresses:
            return self.node_ips
        return self.node_port_addresses

    @property
    def cluster_dns_ips(self) -> Sequence[str]:
        return _split(self.cluster_dns)

    @property
    def cgroup_name(self) -> str:
        return self.cgroup_root or f"kubepods-{self.node_name}"


async def run_agent(config: AgentConfig) -> None:
    """A node, until cancelled; says one line when it is Ready."""
    clock, ids = SystemClock(), SystemIds()
    config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    config.run_dir.mkdir(parents=True, exist_ok=True)
    instance = containerd.instance_for(config.data_dir, config.run_dir)
    client = await connect(config)
    view = kubelet_directory.claim(config.data_dir / "agent")
    try:
        settings = replace(node_config(config, instance.endpoint), plugin_view=view)
        agent = NodeAgent(settings, client, clock=clock, ids=ids)
        # The agent's own cache has the pods of this node alone.
        pods = SharedCache(client, ids)
        network = NodeNetwork(
            network_config(config, instance),
            agent.cache,
            pods,
            clock=clock,
            client=client,
            gateways=SharedCache(client, ids),
        )
        network.follow(agent.cache)
        network.follow_pods(pods)
        agent.guard = network.policies.isolate
        server = NodeServer(server_settings(config), agent, client, clock=clock)
        async with task_group() as tasks:

            def start(name: str, run: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
                return tasks.start(supervised(name, run), name=name)

            if not config.runtime_endpoint:
                start("containerd", functools.partial(containerd.keep_running, instance))
            running = start("agent", agent.run)
            start("node server", server.run)
            for kept in certificates(config, client):
                keep = functools.partial(keep_certificate, kept, clock)
                name = f"{kept.name} certificate"
                kept_up = supervised(
                    name,
                    keep,
                    foreseen=(ApiError, CertificateRefused),
                    limit_seconds=CERTIFICATE_RETRY,
                )
                tasks.start(kept_up, name=name)
            await agent.cache.wait_synced()
            start("network", network.run)
            await agent.wait_ready()
            print(f"sagong agent ready: node {config.node_name} ({config.node_ip})", flush=True)
            await running
    finally:
        await client.close()


def certificates(config: AgentConfig, client: Client) -> Sequence[Kept]:
    """The node's own two; an identity from a given kubeconfig is its giver's to renew."""
    own = config.data_dir / "kubeconfig"
    names, addresses = [config.node_name], config.node_ips

    async def serve(pair: CertificatePair) -> None:
        write_pair(server_settings(config).certificate_dir, SERVING, pair)

    async def identify(pair: CertificatePair) -> None:
        context = read_context(own)
        access = replace(context.access, certificate=pair.certificate, key=pair.key)
        merge_context(own, replace(context, access=access))
        transport = client.transport
        assert isinstance(transport, Https)
        await transport.replace_access(access)

    serving = Kept(
        "serving",
        lambda: read_pem(server_settings(config).certificate_dir / f"{SERVING}.crt"),
        functools.partial(
            request_serving_certificate,
            client,
            config.node_name,
            names=names,
            addresses=addresses,
        ),
        serve,
    )
    identity = Kept(
        "client",
        lambda: read_context(own).access.certificate,
        functools.partial(request_client_certificate, client, config.node_name),
        identify,
    )
    return (serving,) if config.kubeconfig is not None else (serving, identity)


async def remove_node(config: AgentConfig) -> None:
    """After the agent has ended: leave nothing of the node on this machine."""
    clock, ids = SystemClock(), SystemIds()
    client = Client(Https(Access("http://127.0.0.1:0")), ResourceTable())
    instance = containerd.instance_for(config.data_dir, config.run_dir)
    cache = NodeAgent(node_config(config, instance.endpoint), client, clock=clock, ids=ids).cache
    await containerd.purge(instance, cgroup_roots=[config.cgroup_name])
    await NodeNetwork(network_config(config, instance), cache, clock=clock).remove()
    containerd.unmount_under([config.data_dir])
    kubelet_directory.release(config.data_dir / "agent")
    await client.close()


def node_config(config: AgentConfig, endpoint: str) -> NodeConfig:
    return NodeConfig(
        name=config.node_name,
        data_dir=config.data_dir / "agent",
        runtime_endpoint=config.runtime_endpoint or endpoint,
        addresses=(
            *(NodeAddress("InternalIP", ip) for ip in config.node_ips),
            NodeAddress("Hostname", config.node_name),
        ),
        log_dir=config.log_dir,
        cluster_dns=config.cluster_dns_ips,
        cluster_domain=config.cluster_domain,
        labels=config.labels,
        taints=config.taints,
        max_pods=config.max_pods,
        capacity_share=config.capacity_share,
        cgroup_root=config.cgroup_name,
        may_lower_oom_score=containerd.may_lower_oom_score(),
        drain_seconds=config.drain_seconds,
        static_pod_dir=config.static_pod_dir,
        reserved=config.reserved,
        alignment=config.alignment,
        shutdown=config.shutdown,
    )


def server_settings(config: AgentConfig) -> NodeServerSettings:
    """The agent's server believes client certificates of the CA that the agent itself trusts."""
    given, own = config.kubeconfig, config.data_dir / "kubeconfig"
    access = read_context(given if given and given.exists() else own).access
    hosts = tuple(dict.fromkeys("::" if ":" in ip else "0.0.0.0" for ip in config.node_ips))
    return NodeServerSettings(config.data_dir / "pki", client_ca_pem=access.ca or b"", hosts=hosts)


def network_config(config: AgentConfig, instance: containerd.ContainerdInstance) -> NetworkConfig:
    return NetworkConfig(
        node_name=config.node_name,
        state_dir=config.data_dir / "network",
        cluster_cidr=config.cluster_cidr,
        service_cidr=config.service_cidr,
        cni_conf_dir=(Path("/etc/cni/net.d") if config.runtime_endpoint else instance.cni_conf_dir),
        bridge=config.bridge,
        dns_ips=config.cluster_dns_ips,
        dns_domain=config.cluster_domain,
        stub_domains=dict(map(parse_stub_domain, config.stub_domains)),
        encapsulation=Encapsulation(config.encapsulation),
        node_port_ranges=config.node_port_ranges,
        ingress_ports=Ports(config.ingress_http_port, config.ingress_https_port),
    )


async def connect(config: AgentConfig) -> Client:
    """A client with the node's own identity, asked for first if it has none (TLS bootstrap)."""
    own = config.data_dir / "kubeconfig"
    path = config.kubeconfig or own
    if not path.exists():
        await _join_when_possible(config, own)
        path = own
    return Client(Https(read_context(path).access), ResourceTable())


async def _join_when_possible(config: AgentConfig, kubeconfig: Path) -> None:
    """Join; a server that cannot be reached, or is not ready, is asked again for ever."""
    while True:
        try:
            return await _join(config, kubeconfig)
        except (ServiceUnavailable, Timeout, InternalError, TooManyRequests) as error:
            log.warning("cannot join yet: %s", error)
            await asyncio.sleep(JOIN_RETRY_SECONDS)


async def _join(config: AgentConfig, kubeconfig: Path) -> None:
    if not config.join_url or not config.token:
        raise RuntimeError(
            "the agent has no identity: give it a --kubeconfig, or --join URL and --token"
        )
    ca = config.ca_file.read_bytes() if config.ca_file else None
    access = Access(config.join_url, ca=ca, token=config.token)
    client = Client(Https(access), ResourceTable())
    try:
        log.info("asking %s for a certificate for node %s", config.join_url, config.node_name)
        pair = await request_client_certificate(client, config.node_name)
    finally:
        await client.close()
    own = Access(config.join_url, ca=ca, certificate=pair.certificate, key=pair.key)
    merge_context(kubeconfig, Context(f"system:node:{config.node_name}", own))


def _split(text: str) -> Sequence[str]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def default_node_name() -> str:
    """The machine's name, as a node's must be: lower case."""
    return socket.gethostname().lower()
