"""``/stats/summary`` and the metrics endpoints of the agent."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import orjson
from aiohttp import web

from sagong.core.clock import Clock
from sagong.node.agent import NodeAgent
from sagong.node.machine import read_machine
from sagong.node.stats.exposition import (
    CONTENT_TYPE,
    agent_metrics,
    cadvisor_metrics,
    probe_metrics,
    resource_metrics,
)
from sagong.node.stats.filesystems import read_filesystems
from sagong.node.stats.samples import Sampler
from sagong.node.stats.summary import NodeFacts, summary
from sagong.node.stats.volumes import VolumeMeter, expose_claims, with_volumes


@dataclass(frozen=True, slots=True)
class Statistics:
    """The endpoints."""

    agent: NodeAgent
    sampler: Sampler
    clock: Clock
    meter: VolumeMeter

    async def summary(self, request: web.Request) -> web.Response:
        """With ``only_cpu_and_memory=true`` the disks are not looked at by the caller's wish."""
        filesystems = await read_filesystems(self.agent)
        found = summary(self.sampler.newest(), filesystems, _facts(self.agent))
        found = with_volumes(found, await self.meter.of_pods(), self.clock.now())
        if request.query.get("only_cpu_and_memory", "false") not in ("false", "0"):
            kept = ("nodeName", "startTime", "cpu", "memory")
            found["node"] = {key: found["node"][key] for key in kept}
            for pod in found["pods"]:
                pod.pop("network", None)
                pod.pop("ephemeral-storage", None)
                pod.pop("volume", None)
                for container in pod["containers"]:
                    for key in ("rootfs", "logs", "swap"):
                        del container[key]
        return web.Response(body=orjson.dumps(found), headers={"Content-Type": "application/json"})

    async def resource(self, request: web.Request) -> web.Response:
        return _text(resource_metrics(self.sampler.newest()))

    async def cadvisor(self, request: web.Request) -> web.Response:
        machine = read_machine(self.agent.config.data_dir, runtime="")
        text = cadvisor_metrics(
            self.sampler.newest(), cpus=machine.cpus, memory_bytes=machine.memory_bytes
        )
        return _text(text)

    async def own(self, request: web.Request) -> web.Response:
        seen = [self.agent.view.pod(uid) for uid in self.agent.view.uids()]
        states = Counter(c.state.name.lower() for pod in seen for c in pod.containers)
        running = sum(1 for pod in seen if pod.sandbox is not None and pod.sandbox.ready)
        figures = await self.meter.of_pods()
        found = agent_metrics(pods=running, containers=states)
        expose_claims(found, self.agent.pods(), figures)
        return _text(found.text())

    async def probes(self, request: web.Request) -> web.Response:
        return _text(probe_metrics(self.agent.probe_counts))


def _facts(agent: NodeAgent) -> NodeFacts:
    config = agent.config
    machine = read_machine(config.data_dir, runtime="")
    return NodeFacts(
        name=config.name,
        memory_bytes=machine.memory_bytes // max(1, config.capacity_share),
        started_at=_booted_at(),
        pids_max=int(Path("/proc/sys/kernel/pid_max").read_text()),
        pids=int(Path("/proc/loadavg").read_text().split()[3].split("/")[1]),
    )


def _booted_at() -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _text(text: str) -> web.Response:
    return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
