"""What node, pods and containers use, sampled every few seconds; rates come from two samples."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from sagong.core.clock import Clock
from sagong.node.agent import NodeAgent
from sagong.node.pods.model import SeenContainer, SeenPod
from sagong.node.pods.spec import qos_class
from sagong.node.stats.figures import CgroupFiles, Figures
from sagong.node.stats.network import Interface, read_interfaces

SAMPLE_SECONDS = 10.0  # upstream's housekeeping interval
FRESH_SECONDS = 2.0  # who asks is not given anything older
# Two looks closer than this say little about a rate: the older one is kept.
RATE_SECONDS_MIN = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Figures with the time they were read, and the CPU used per second since an earlier look."""

    at: float  # seconds since the epoch
    figures: Figures
    nano_cores: int | None


@dataclass(frozen=True, slots=True)
class PodSample:
    """One pod; containers by name, each with what the runtime knows of it."""

    uid: str
    name: str
    namespace: str
    started_at: float
    whole: Sample
    containers: Mapping[str, tuple[SeenContainer, Sample]]
    interfaces: tuple[Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSample:
    """Everything of one look."""

    node: Sample
    pods: tuple[PodSample, ...]
    interfaces: tuple[Interface, ...] = ()


@dataclass(slots=True)
class Sampler:
    """Keeps the newest sample of everything. ``run`` ends only when cancelled."""

    agent: NodeAgent
    clock: Clock
    # By cgroup: when it was read, and its CPU time; the earlier end of a rate.
    _bases: dict[str, tuple[float, int]] = field(default_factory=dict)
    _newest: NodeSample | None = None

    async def run(self) -> None:
        while True:
            self._newest = self.look()
            await asyncio.sleep(SAMPLE_SECONDS)

    def newest(self) -> NodeSample:
        """A sample that is hardly older than now."""
        newest = self._newest
        if newest is None or self.clock.now() - newest.node.at > FRESH_SECONDS:
            newest = self._newest = self.look()
        return newest

    def look(self) -> NodeSample:
        """Read every cgroup: some small files for each container."""
        config, bases = self.agent.config, self._bases
        files = CgroupFiles(config.cgroup_mount, self.agent.cgroups.is_unified)
        self._bases = {}
        # An agent that has a share of the machine can only speak for its own pods.
        root = "" if config.capacity_share <= 1 else config.cgroup_root
        node = self._sample(files, root, bases)
        pods = []
        for pod in self.agent.pods():
            uid = pod["metadata"]["uid"]
            seen = self.agent.view.pod(uid)
            if seen.sandbox is None or not seen.sandbox.ready:
                continue
            path = self.agent.cgroups.parent_of(uid, qos_class(pod)).strip("/")
            found = self._pod(files, path, seen, bases)
            if found is not None:
                pods.append(found)
        if node is None:
            node = Sample(self.clock.now(), Figures(0, 0, 0, 0, 0, 0, None, 0), None)
        return NodeSample(node, tuple(pods), read_interfaces(None))

    def _pod(
        self, files: CgroupFiles, path: str, seen: SeenPod, bases: Mapping[str, tuple[float, int]]
    ) -> PodSample | None:
        whole = self._sample(files, path, bases)
        if whole is None or seen.sandbox is None:
            return None
        containers = {}
        for container in seen.running:
            sample = self._sample(files, f"{path}/{container.id}", bases)
            if sample is not None:
                containers[container.name] = (container, sample)
        pid = files.first_process(f"{path}/{seen.sandbox.id}")
        return PodSample(
            uid=seen.uid,
            name=seen.name,
            namespace=seen.namespace,
            started_at=seen.sandbox.created_at,
            whole=whole,
            containers=containers,
            interfaces=read_interfaces(pid) if pid is not None else (),
        )

    def _sample(
        self, files: CgroupFiles, path: str, bases: Mapping[str, tuple[float, int]]
    ) -> Sample | None:
        figures, now = files.read(path), self.clock.now()
        if figures is None:
            return None
        base = bases.get(path)
        rate = None
        if base is not None and now > base[0]:
            rate = max(0, int((figures.cpu_nanos - base[1]) / (now - base[0])))
        is_fresh = base is not None and now - base[0] < RATE_SECONDS_MIN
        self._bases[path] = base if is_fresh and base else (now, figures.cpu_nanos)
        return Sample(now, figures, rate)
