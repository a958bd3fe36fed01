"""The composition root of ``sagong up`` and ``sagong down``: a whole cluster on this machine.

Every step is done only if its effect is missing, so that ``up`` after a crash, or after some of its
programs were killed, brings back what is not there and leaves alone what runs.
"""

import asyncio
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sagong.api.errors import ApiError
from sagong.api.meta import condition, name_of
from sagong.api.resources import ResourceTable
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import Context, KubeconfigError, merge_context, read_context
from sagong.client.kubeconfig import remove_context as forget_context
from sagong.cmd.ip_families import DNS_IPV4, DNS_IPV6, IpFamily, ranges_of
from sagong.cmd.sim import remove_simulated
from sagong.cmd.tokens import create_token
from sagong.core.clock import SystemClock
from sagong.local import containerd, kubelet_directory, network_namespaces, processes
from sagong.local.addresses import NoNodeAddress, default_route_address, node_addresses
from sagong.local.containerd import ContainerdInstance
from sagong.local.images import busybox_image, has_busybox, import_images
from sagong.local.layout import ClusterDescription, Layout
from sagong.network.agent import NetworkConfig, remove_network, stop_programs
from sagong.network.routes.nodes import pod_cidrs
from sagong.sim.fleet import SIMULATED as SIMULATED_LABEL

CONTEXT = "sagong"
SERVER, SIMULATED = "server", "simulated"
SERVER_SECONDS_MAX = 30.0  # until the server answers; past it its log says why
NODES_SECONDS_MAX = 120.0  # until all nodes are Ready
SIMULATED_PER_SECOND_MIN = 20  # on a slow machine; a usual one makes hundreds
_POLL_SECONDS = 0.1

Say = Callable[[str], None]


class UpError(Exception):
    """The cluster did not come up; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class UpConfig:
    """What ``sagong up`` was asked for."""

    layout: Layout
    nodes: int
    port: int
    kubeconfig: Path
    server_flags: Sequence[str] = ()
    simulated: int = 0  # nodes that only pretend, in one process
    simulated_flags: Sequence[str] = ()
    node_prefix: str = "node"  # several nodes are called <prefix>-1, <prefix>-2, ...
    ip_family: IpFamily = IpFamily.IPV4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node lives: its name, its address, its network namespace (None: the machine's)."""

    node: str
    address: str  # two with a comma between them where the cluster is dual-stack
    namespace: Path | None
    share: int  # the node reports this fraction of the machine: 1/share
    link: network_namespaces.NodeLink | None = None  # of a namespace to the machine

    @property
    def cgroup_root(self) -> str:
        return f"kubepods-{self.node}" if self.namespace else "kubepods-sagong"


def program_of(node: str) -> str:
    """The name of a node's agent among this machine's programs."""
    return f"agent-{node}"


def containerd_of(layout: Layout, node: str, namespace: Path | None) -> ContainerdInstance:
    return containerd.instance_for(
        layout.node_dir(node),
        layout.node_run_dir(node),
        network_namespace=str(namespace) if namespace else None,
    )


async def up(config: UpConfig, say: Say) -> None:
    """Bring everything up and wait until all nodes are Ready. Raises UpError."""
    layout, isolated = config.layout, config.nodes > 1
    places, server_address = _make_places(config.nodes, config.node_prefix, config.ip_family)
    description = ClusterDescription(
        nodes=[place.node for place in places],
        isolated=isolated,
        server_url=f"https://{_in_url(server_address)}:{config.port}",
        port=config.port,
        simulated=config.simulated,
        ip_family=config.ip_family,
    )
    known = ClusterDescription.read(layout.description_file)
    if known is not None and tuple(known.nodes) != tuple(description.nodes):
        raise UpError(
            f"a cluster of {len(known.nodes)} node(s) is already here; "
            "run `sagong down --purge` first, or `sagong up` with the same --nodes"
        )
    if known is not None and known.ip_family != config.ip_family:
        raise UpError(
            f"the cluster that is here has --ip-family {known.ip_family}; "
            "run `sagong down --purge` first, or `sagong up` with the same"
        )
    description.write(layout.description_file)
    say("starting the control plane")
    await _start_server(config, server_address)
    context = await _wait_server(layout)
    merge_context(config.kubeconfig, context)
    say(f"wrote context {CONTEXT} to {config.kubeconfig}")
    if config.simulated:
        say(f"starting {config.simulated} simulated node(s)")
        _start_simulated(config)
    if places:
        say(f"starting {len(places)} node(s): " + ", ".join(p.node for p in places))
    await asyncio.gather(*(_start_runtime(layout, place) for place in places))
    client = Client(Https(context.access), ResourceTable(), user_agent="sagong-up")
    try:
        token = await create_token(client, SystemClock(), description="sagong up", hours=1)
        for place in places:
            _start_agent(config, place, description.server_url, token)
        if places:
            await _wait_nodes(client, places, layout)
            await _route_pods(client, places)
        if config.simulated:
            await _wait_simulated(client, config)
    finally:
        await client.close()


def _make_places(nodes: int, prefix: str, family: IpFamily) -> tuple[list[Place], str]:
    """The nodes' places, made if need be, and the address at which they reach the server."""
    if nodes == 0:
        return [], _own_address(family)
    if nodes == 1:
        try:
            address = node_addresses(family.versions)
        except NoNodeAddress as error:
            raise UpError(
                f"{error}; use `sagong up --nodes 2`, whose nodes get a network of their own"
            ) from error
        return [Place(_hostname(), address, None, 1)], address.partition(",")[0]
    bridge = network_namespaces.find_bridge() or network_namespaces.create_bridge()
    ipv6 = family.has_ipv6
    bridge = network_namespaces.create_bridge(bridge.name, bridge.subnet, ipv6=ipv6)
    places = []
    for index in range(nodes):
        name = f"{prefix}-{index + 1}"
        link = network_namespaces.create_node_network(name, bridge, index=index, ipv6=ipv6)
        address = family.joined(ipv4=str(link.address), ipv6=str(link.ipv6_address))
        places.append(Place(name, address, link.namespace, nodes, link))
    gateways = family.joined(ipv4=str(bridge.gateway), ipv6=str(bridge.ipv6_gateway))
    return places, gateways.partition(",")[0]


def _own_address(family: IpFamily) -> str:
    """Where a cluster without real nodes is reached: nobody but this machine needs to."""
    version = family.versions[0]
    try:
        return default_route_address(version)
    except OSError:
        return "127.0.0.1" if version == 4 else "::1"


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _hostname() -> str:
    return socket.gethostname().lower().replace("_", "-") or "node-1"


async def _start_server(config: UpConfig, address: str) -> None:
    layout = config.layout
    if processes.read_pid_file(layout.pid_file(SERVER)) is not None:
        return
    ranges = ranges_of(config.ip_family)
    processes.start_detached(
        [
            *_program(),
            "server",
            "--data-dir",
            str(layout.server_dir),
            "--listen",
            f"{'[::]' if ':' in address else '0.0.0.0'}:{config.port}",
            "--advertise-address",
            address,
            "--cluster-cidr",
            ranges.cluster_cidr,
            "--service-cidr",
            ranges.service_cidr,
            *config.server_flags,
        ],
        log_file=layout.log_file(SERVER),
        pid_file=layout.pid_file(SERVER),
    )


def _program() -> list[str]:
    return [sys.executable, "-m", "sagong"]


async def _wait_server(layout: Layout) -> Context:
    """The admin's context, once the server answers with it."""
    problem = "it has not written its kubeconfig"
    async with _Deadline(
        SERVER_SECONDS_MAX, lambda: f"the server did not answer: {problem}", layout, SERVER
    ):
        while True:
            if processes.read_pid_file(layout.pid_file(SERVER)) is None:
                raise UpError(_with_log("the server ended", layout, SERVER))
            try:
                context = read_context(layout.admin_kubeconfig)
                await _ask_ready(context)
            except (KubeconfigError, OSError, ApiError) as error:
                problem = str(error)
                await asyncio.sleep(_POLL_SECONDS)
                continue
            return Context(CONTEXT, context.access)


async def _ask_ready(context: Context) -> None:
    client = Client(Https(context.access), ResourceTable())
    try:
        await client.get("namespaces", "kube-system")
    finally:
        await client.close()


async def _start_runtime(layout: Layout, place: Place) -> None:
    instance = containerd_of(layout, place.node, place.namespace)
    fresh = not instance.root.exists()
    try:
        await containerd.start(instance)
        if fresh and has_busybox():
            await import_images(instance.socket, layout.node_dir(place.node), busybox_image())
    except RuntimeError as error:
        raise UpError(f"containerd of {place.node} did not come up: {error}") from error


def _start_agent(config: UpConfig, place: Place, server_url: str, token: str) -> None:
    layout, ranges = config.layout, ranges_of(config.ip_family)
    program = program_of(place.node)
    if processes.read_pid_file(layout.pid_file(program)) is not None:
        return
    processes.start_detached(
        [
            *_program(),
            "agent",
            "--node-name",
            place.node,
            "--node-ip",
            place.address,
            "--cluster-cidr",
            ranges.cluster_cidr,
            "--service-cidr",
            ranges.service_cidr,
            "--cluster-dns",
            ranges.cluster_dns,
            "--data-dir",
            str(layout.node_dir(place.node)),
            "--run-dir",
            str(layout.node_run_dir(place.node)),
            "--capacity-share",
            str(place.share),
            "--cgroup-root",
            place.cgroup_root,
            # Nodes on one machine must not take each other's pods' logs for orphans.
            *(("--pod-logs-dir", str(_pod_logs(layout, place.node))) if place.namespace else ()),
            "--join",
            server_url,
            "--ca-file",
            str(layout.server_dir / "pki" / "ca.crt"),
        ],
        log_file=layout.log_file(program),
        pid_file=layout.pid_file(program),
        namespace=str(place.namespace) if place.namespace else None,
        # Not among the arguments, which every user of the machine can read.
        environment={"SAGONG_JOIN_TOKEN": token, "GRPC_ENABLE_FORK_SUPPORT": "false"},
    )


def _start_simulated(config: UpConfig) -> None:
    layout = config.layout
    if processes.read_pid_file(layout.pid_file(SIMULATED)) is not None:
        return
    processes.start_detached(
        [
            *_program(),
            "sim",
            "nodes",
            "--count",
            str(config.simulated),
            "--kubeconfig",
            str(layout.admin_kubeconfig),
            *config.simulated_flags,
        ],
        log_file=layout.log_file(SIMULATED),
        pid_file=layout.pid_file(SIMULATED),
    )


async def _wait_simulated(client: Client, config: UpConfig) -> None:
    """Until all of them are Ready."""
    layout, ready = config.layout, 0
    seconds = NODES_SECONDS_MAX + config.simulated / SIMULATED_PER_SECOND_MIN
    async with _Deadline(
        seconds, lambda: f"{ready} of {config.simulated} are Ready", layout, SIMULATED
    ):
        while ready < config.simulated:
            if processes.read_pid_file(layout.pid_file(SIMULATED)) is None:
                raise UpError(_with_log("the simulated nodes ended", layout, SIMULATED))
            listing = await client.list("nodes", label_selector=f"{SIMULATED_LABEL}=true")
            ready = sum(_is_ready(item.obj) for item in listing.items)
            await asyncio.sleep(_POLL_SECONDS * 5)


def _pod_logs(layout: Layout, node: str) -> Path:
    return layout.node_dir(node) / "pod-logs"


async def _wait_nodes(client: Client, places: Sequence[Place], layout: Layout) -> None:
    waiting = {place.node for place in places}
    async with _Deadline(
        NODES_SECONDS_MAX,
        lambda: f"not Ready: {', '.join(sorted(waiting))}",
        layout,
        program_of(places[0].node),
    ):
        while True:
            listing = await client.list("nodes")
            ready = {name_of(item.obj) for item in listing.items if _is_ready(item.obj)}
            waiting -= ready
            if not waiting:
                return
            for node in waiting:
                if processes.read_pid_file(layout.pid_file(program_of(node))) is None:
                    program = program_of(node)
                    raise UpError(_with_log(f"the agent of {node} ended", layout, program))
            await asyncio.sleep(_POLL_SECONDS)


async def _route_pods(client: Client, places: Sequence[Place]) -> None:
    """Let the server, which is on none of the isolated nodes, reach pods: proxies, webhooks."""
    for place in places:
        if place.link is not None:
            for cidr in pod_cidrs(await client.get("nodes", place.node)):
                network_namespaces.add_host_route(cidr, place.link)


def _is_ready(node: dict[str, object]) -> bool:
    ready = condition(node, "Ready")
    return ready is not None and ready["status"] == "True"


class _Deadline:
    """``asyncio.timeout`` that raises UpError with the end of a program's log."""

    def __init__(
        self, seconds: float, problem: Callable[[], str], layout: Layout, program: str
    ) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._problem = problem
        self._layout = layout
        self._program = program

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *details: object) -> None:
        try:
            await self._timeout.__aexit__(*details)  # type: ignore[arg-type]
        except TimeoutError as error:
            text = _with_log(self._problem(), self._layout, self._program)
            raise UpError(text) from error


def _with_log(problem: str, layout: Layout, program: str) -> str:
    path = layout.log_file(program)
    lines = path.read_text(errors="replace").splitlines()[-8:] if path.exists() else []
    return "\n".join([f"{problem}; the end of {path}:", *(f"  {line}" for line in lines)])


async def down(layout: Layout, *, purge: bool, kubeconfig: Path | None, say: Say) -> None:
    """Stop everything; with ``purge`` remove state too. Works after any crash, and twice."""
    description = ClusterDescription.read(layout.description_file)
    nodes = description.nodes if description else ()
    isolated = description.isolated if description else True
    if description is not None and description.simulated:
        await _remove_simulated(layout, description, say)
    say("stopping agents and server")
    programs = [*(program_of(node) for node in nodes), SERVER]
    await asyncio.gather(*(_stop(layout, program) for program in programs))
    await asyncio.gather(*(stop_programs(network_config(layout, node)) for node in nodes))
    say("stopping containers")
    await asyncio.gather(*(_stop_node(layout, node, isolated, purge=purge) for node in nodes))
    if isolated:
        network_namespaces.delete_all()
    elif nodes:
        # In the machine's own namespace the agent's work does not go by itself.
        await remove_network(network_config(layout, nodes[0]))
    shutil.rmtree(layout.run_dir, ignore_errors=True)
    if purge:
        containerd.unmount_under([layout.data_dir])
        _remove_machine_logs(layout, nodes)
        shutil.rmtree(layout.data_dir, ignore_errors=True)
        if kubeconfig is not None and forget_context(kubeconfig, CONTEXT):
            say(f"removed context {CONTEXT} from {kubeconfig}")


async def _remove_simulated(layout: Layout, description: ClusterDescription, say: Say) -> None:
    """End the process, and take the nodes that it stood in for out of the cluster."""
    say(f"removing {description.simulated} simulated node(s)")
    await _stop(layout, SIMULATED)
    try:
        await remove_simulated(read_context(layout.admin_kubeconfig))
    except (KubeconfigError, OSError, ApiError) as error:
        # Without a server their objects stay; they are NotReady when it comes back.
        say(f"the server does not answer, so they stay in its store: {error}")
    replace(description, simulated=0).write(layout.description_file)


def _remove_machine_logs(layout: Layout, nodes: Sequence[str]) -> None:
    """Logs of our own pods where a machine keeps those of all its pods, by the pods' uids."""
    uids = {path.name for n in nodes for path in (layout.node_dir(n) / "agent/pods").glob("*")}
    for directory in Path("/var/log/pods").glob("*_*_*"):
        if directory.name.rpartition("_")[2] in uids:
            shutil.rmtree(directory, ignore_errors=True)


async def _stop(layout: Layout, program: str) -> None:
    process = processes.read_pid_file(layout.pid_file(program))
    if process is not None:
        await processes.stop(process)
    layout.pid_file(program).unlink(missing_ok=True)


async def _stop_node(layout: Layout, node: str, isolated: bool, *, purge: bool) -> None:
    namespace = network_namespaces.namespace_path(node) if isolated else None
    instance = containerd_of(layout, node, namespace)
    place = Place(node, "", namespace, 1)
    if purge:
        await containerd.purge(instance, cgroup_roots=[place.cgroup_root])
        kubelet_directory.release(layout.node_dir(node) / "agent")
    else:
        await containerd.halt(instance, cgroup_roots=[place.cgroup_root])
    # Volumes in memory and projected files are the agent's; they come back with the next start.
    containerd.unmount_under([layout.node_dir(node)])


def network_config(layout: Layout, node: str) -> NetworkConfig:
    """The network of a node, for taking it away."""
    directory = layout.node_dir(node)
    return NetworkConfig(
        node_name=node,
        state_dir=directory / "network",
        cni_conf_dir=directory / "cni",
        dns_ips=(DNS_IPV4, DNS_IPV6),  # whichever there is
    )
