"""The agent's HTTPS server, put together: routes, TLS, access."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.core.tasks import task_group
from sagong.node.agent import NodeAgent
from sagong.node.config import NodeConfig
from sagong.node.pods.model import SeenPod
from sagong.node.server.access import Access
from sagong.node.server.certificates import ServingCertificate, server_context
from sagong.node.server.checkpoints import Checkpoints
from sagong.node.server.container_logs import ContainerLogs
from sagong.node.server.pods import Pods
from sagong.node.server.refusals import plain, refusals
from sagong.node.server.statistics import Statistics
from sagong.node.server.streaming import Streaming
from sagong.node.stats.samples import Sampler
from sagong.node.stats.volumes import VolumeMeter

log = logging.getLogger(__name__)

CERTIFICATE_SECONDS = 10.0  # how often the certificate's files are looked at
STOP_SECONDS = 2.0  # what a stop waits for requests under way
BACKLOG = 512


@dataclass(frozen=True, slots=True)
class NodeServerSettings:
    """Where the server listens, and whom it believes."""

    certificate_dir: Path
    client_ca_pem: bytes  # of the cluster; b"" accepts tokens only
    hosts: Sequence[str] = ("0.0.0.0",)


class NodeServer:
    """Serves one agent's pods. ``run`` ends only when cancelled; streams end with it."""

    def __init__(
        self, settings: NodeServerSettings, agent: NodeAgent, client: Client, *, clock: Clock
    ) -> None:
        """``client`` acts as the node: it reviews tokens and access."""
        config = agent.config
        pods = Pods(agent)
        self._settings = settings
        self._port = config.kubelet_port
        self._agent = agent
        self._access = Access(client, config.name, clock)
        self._logs = ContainerLogs(pods, clock)
        self._checkpoints = Checkpoints(agent, pods, clock)
        self._streaming = Streaming(pods)
        self._sampler = Sampler(agent, clock)
        self._statistics = Statistics(agent, self._sampler, clock, VolumeMeter(agent, clock))
        names = list(dict.fromkeys((config.name, *(a.address for a in config.addresses))))
        self._certificate = ServingCertificate(
            settings.certificate_dir, names, clock, server_context(settings.client_ca_pem)
        )

    async def run(self) -> None:
        """Listen on the agent's port until cancelled. Raises OSError if it is taken."""
        self._certificate.refresh()
        async with self._listening(), task_group() as tasks:
            tasks.start(self._sampler.run(), name="statistics")
            await tasks.start(self._keep_certificate(), name="serving certificate")

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=STOP_SECONDS)
        await runner.setup()
        try:
            for host in self._settings.hosts:
                site = web.TCPSite(
                    runner,
                    host,
                    self._port,
                    ssl_context=self._certificate.context,
                    backlog=BACKLOG,
                    reuse_address=True,
                )
                await site.start()
            yield
        finally:
            await runner.cleanup()

    async def _keep_certificate(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            try:
                self._certificate.refresh()
            except (OSError, ValueError, ssl.SSLError) as error:
                log.warning("cannot load the serving certificate, the old one is kept: %s", error)

    def _application(self) -> web.Application:
        access = self._access

        @web.middleware
        async def authorised(request: web.Request, handler: Handler) -> web.StreamResponse:
            await access.check(request)
            return await handler(request)

        application = web.Application(middlewares=[refusals, authorised])
        route = application.router.add_route
        route("GET", "/healthz", _healthy)
        route("GET", "/pods", self._pods)
        route("GET", "/configz", self._configz)
        route("GET", "/stats/summary", self._statistics.summary)
        route("GET", "/metrics", self._statistics.own)
        route("GET", "/metrics/resource", self._statistics.resource)
        route("GET", "/metrics/cadvisor", self._statistics.cadvisor)
        route("GET", "/metrics/probes", self._statistics.probes)
        route("GET", "/runningpods/", self._running_pods)
        for check in ("ping", "log", "syncloop"):
            route("GET", f"/healthz/{check}", _healthy)
        logs = "/containerLogs/{namespace}/{pod}/{container}"
        route("GET", logs, self._logs.handle)
        route("POST", "/checkpoint/{namespace}/{pod}/{container}", self._checkpoints.handle)
        for method in ("GET", "POST"):
            for verb, handle in (
                ("exec", self._streaming.exec),
                ("attach", self._streaming.attach),
            ):
                route(method, f"/{verb}/{{namespace}}/{{pod}}/{{container}}", handle)
                route(method, f"/{verb}/{{namespace}}/{{pod}}/{{uid}}/{{container}}", handle)
            forward = self._streaming.port_forward
            route(method, "/portForward/{namespace}/{pod}", forward)
            route(method, "/portForward/{namespace}/{pod}/{uid}", forward)
        return application

    async def _pods(self, request: web.Request) -> web.Response:
        items = [{**pod, "apiVersion": "v1", "kind": "Pod"} for pod in self._agent.pods()]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _running_pods(self, request: web.Request) -> web.Response:
        """What the runtime runs, whatever the API says of it."""
        view = self._agent.view
        items = [_running(seen) for seen in map(view.pod, view.uids()) if seen.running]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _configz(self, request: web.Request) -> web.Response:
        return _json({"kubeletconfig": configuration(self._agent)})


def configuration(agent: NodeAgent) -> Obj:
    """Those fields of ``KubeletConfiguration`` that this agent has settings for."""
    config = agent.config
    return {
        "address": "0.0.0.0",
        "port": config.kubelet_port,
        "clusterDNS": list(config.cluster_dns),
        "clusterDomain": config.cluster_domain,
        "maxPods": config.max_pods,
        "nodeLeaseDurationSeconds": config.lease_seconds,
        "nodeStatusUpdateFrequency": f"{config.status_seconds:g}s",
        "nodeStatusReportFrequency": f"{config.status_report_seconds:g}s",
        "syncFrequency": f"{config.volume_refresh_seconds:g}s",
        "evictionHard": dict(config.eviction_hard),
        "evictionSoft": dict(config.eviction_soft),
        "evictionPressureTransitionPeriod": f"{config.eviction_transition_seconds:g}s",
        **_policies(config),
        "allowedUnsafeSysctls": list(config.allowed_unsafe_sysctls),
        "staticPodPath": str(config.static_pod_dir or ""),
        "imageGCHighThresholdPercent": config.image_gc_high_percent,
        "imageGCLowThresholdPercent": config.image_gc_low_percent,
        "cgroupRoot": f"/{config.cgroup_root}",
        "cgroupDriver": "cgroupfs",
        "containerLogMaxSize": str(config.log_bytes_max),
        "containerLogMaxFiles": config.log_files_max,
        "resolvConf": str(config.resolv_conf),
        "containerRuntimeEndpoint": config.runtime_endpoint,
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
    }


def _policies(config: NodeConfig) -> Obj:
    own = config.alignment
    return {
        "systemReserved": dict(config.reserved),
        "reservedSystemCPUs": own.reserved_cpus,
        "reservedMemory": [
            {"numaNode": node, "limits": dict(limits)}
            for node, limits in sorted(own.reserved_memory.items())
        ],
        "cpuManagerPolicy": own.cpu_policy,
        "cpuManagerPolicyOptions": dict(own.cpu_options),
        "cpuManagerReconcilePeriod": f"{own.reconcile_seconds:g}s",
        "memoryManagerPolicy": own.memory_policy,
        "topologyManagerPolicy": own.topology_policy,
        "topologyManagerScope": own.topology_scope,
        "topologyManagerPolicyOptions": dict(own.topology_options),
        "shutdownGracePeriod": f"{config.shutdown.grace_seconds}s",
        "shutdownGracePeriodCriticalPods": f"{config.shutdown.critical_seconds}s",
        "shutdownGracePeriodByPodPriority": [
            {"priority": period.priority, "shutdownGracePeriodSeconds": period.seconds}
            for period in config.shutdown.by_priority
        ],
    }


def _running(seen: SeenPod) -> Obj:
    containers = [{"name": c.name, "image": c.image_ref, "resources": {}} for c in seen.running]
    metadata = {"name": seen.name, "namespace": seen.namespace, "uid": seen.uid}
    return {"metadata": metadata, "spec": {"containers": containers}, "status": {}}


def _json(obj: Obj) -> web.Response:
    return web.Response(body=orjson.dumps(obj), headers={"Content-Type": "application/json"})


async def _healthy(request: web.Request) -> web.Response:
    return plain("ok")
