"""A pod's admission as far as the machine's parts go: hints of all who give, then their gifts.

With scope ``container`` each container's hints are brought together and its parts given before the
next one's; with scope ``pod`` all containers have parts of the same nodes.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from sagong.api.types import Obj
from sagong.node.alignment.asked import lasting_containers
from sagong.node.alignment.cpu_books import CpuBooks
from sagong.node.alignment.failures import AllotmentFailure, NotAligned
from sagong.node.alignment.hints import Hints, decide
from sagong.node.alignment.memory_books import MemoryBooks
from sagong.node.alignment.settings import AlignmentSettings
from sagong.node.alignment.topology import Topology
from sagong.node.pods.admission import Refused
from sagong.node.pods.model import Kind
from sagong.node.pods.resources import Binding, PodLimits, pod_limits
from sagong.node.pods.spec import qos_class


class Giver(Protocol):
    """Keeps the books of one sort of parts: devices, processors, memory."""

    def hints(self, pod: Obj, kind: Kind, container: Obj) -> Hints: ...

    def pod_hints(self, pod: Obj) -> Hints: ...

    async def allocate(
        self, pod: Obj, kind: Kind, container: Obj, nodes: frozenset[int] | None
    ) -> None:
        """Near the given nodes if it can be; again does nothing. Raises AllotmentFailure."""
        ...

    def release(self, uid: str) -> None: ...

    def keep_only(self, uids: set[str]) -> None: ...


@dataclass(slots=True)
class Aligner:
    """One an agent."""

    topology: Topology
    settings: AlignmentSettings
    devices: Giver
    cpus: CpuBooks
    memory: MemoryBooks
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # of choosing and giving

    def load(self) -> None:
        """What an earlier agent has given."""
        self.cpus.load()
        self.memory.load()

    @property
    def _givers(self) -> Sequence[Giver]:
        return self.devices, self.cpus, self.memory

    async def allocate(self, pod: Obj) -> Refused | None:
        """Give every container of a pod its parts, or say why that cannot be."""
        async with self._lock:
            try:
                await self._allocate(pod)
            except AllotmentFailure as failure:
                self.release(str(pod["metadata"]["uid"]))
                return Refused(failure.reason, failure.message)
        return None

    async def _allocate(self, pod: Obj) -> None:
        aligns = self.settings.topology_policy != "none"
        by_pod = aligns and self.settings.topology_scope == "pod"
        nodes = self._decide([g.pod_hints(pod) for g in self._givers]) if by_pod else None
        for kind, container in lasting_containers(pod):
            if aligns and not by_pod:
                nodes = self._decide([g.hints(pod, kind, container) for g in self._givers])
            for giver in self._givers:
                await giver.allocate(pod, kind, container, nodes)

    def _decide(self, hints: Sequence[Hints]) -> frozenset[int] | None:
        """The nodes to keep to, None for any. Raises NotAligned."""
        decision = decide(
            self.settings.topology_policy,
            hints,
            self.topology,
            prefer_closest=self.settings.prefers_closest,
        )
        if not decision.is_admitted:
            raise NotAligned
        return decision.hint.nodes

    def release(self, uid: str) -> None:
        """A pod has ended: what it had is free."""
        for giver in self._givers:
            giver.release(uid)

    def keep_only(self, uids: set[str]) -> None:
        """Whoever is not among these has gone while no agent looked."""
        for giver in self._givers:
            giver.keep_only(uids)

    def binding(self, uid: str, container: str) -> Binding:
        return Binding(
            self.cpus.cpus_of(uid, container),
            self.memory.nodes_of(uid, container),
            bool(self.cpus.own(uid, container)),
        )

    def limits(self, pod: Obj) -> PodLimits:
        """The pod's own: no quota for whoever has processors for itself."""
        found = pod_limits(pod)
        has_own = self.cpus.has_own(str(pod["metadata"]["uid"]))
        return replace(found, cpu_quota=None) if has_own else found

    def unresizable(self, pod: Obj) -> dict[str, str]:
        """Why resources of a pod can not be resized here, by resource."""
        if qos_class(pod) != "Guaranteed":
            return {}
        text = "Resize is infeasible for Guaranteed Pods alongside {} Manager static policy"
        found = {}
        if self.cpus.is_static:
            found["cpu"] = text.format("CPU")
        if self.memory.is_static:
            found["memory"] = text.format("Memory")
        return found
