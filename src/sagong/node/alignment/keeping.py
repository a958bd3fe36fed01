"""Keeping running containers on the processors that are theirs, as what is shared changes."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sagong.node.alignment.aligner import Aligner
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.pods.model import SeenPod

log = logging.getLogger(__name__)


@dataclass(slots=True)
class CpuKeeper:
    """One an agent; does nothing but with the static policy."""

    aligner: Aligner
    cri: CriClient
    pods: Callable[[], Iterable[SeenPod]]
    due: asyncio.Event = field(default_factory=asyncio.Event)
    _told: dict[str, str] = field(default_factory=dict)  # container id: processors

    async def run(self) -> None:
        """Until cancelled. What an earlier agent has told containers is told once more."""
        if not self.aligner.cpus.is_static:
            await asyncio.Event().wait()
        while True:
            self.due.clear()
            await self.look()
            try:
                async with asyncio.timeout(self.aligner.settings.reconcile_seconds):
                    await self.due.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Tell each running container its processors, if they have changed."""
        told: dict[str, str] = {}
        for pod in self.pods():
            for container in pod.running:
                cpus = self.aligner.binding(pod.uid, container.name).cpus
                before = self._told.get(container.id)
                if not cpus or cpus == before or await self._tell(container.id, cpus):
                    told[container.id] = cpus
        self._told = told

    async def _tell(self, container_id: str, cpus: str) -> bool:
        try:
            await self.cri.update_resources(container_id, {"cpuset_cpus": cpus})
        except RuntimeFailure as error:
            log.warning("cannot move container %s to processors %s: %s", container_id, cpus, error)
            return False
        return True
