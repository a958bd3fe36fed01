"""Removing what pods leave on a node, step by step and repeatable after any crash."""

import asyncio
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from sagong.node.config import NodeConfig
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeNotFound
from sagong.node.dra.claims import PodClaims
from sagong.node.pods.cgroups import CgroupTree
from sagong.node.pods.runtime_view import RuntimeView
from sagong.node.volumes.pod_volumes import PodVolumes

log = logging.getLogger(__name__)

CGROUP_SECONDS = 5.0  # killed processes are gone long before
_CGROUP_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Cleaner:
    """One an agent."""

    config: NodeConfig
    cri: CriClient
    view: RuntimeView
    cgroups: CgroupTree
    volumes: PodVolumes
    claims: PodClaims

    async def release(self, uid: str) -> None:
        """Network, claims, volumes and cgroups of a pod in which nothing runs. Raises on
        failure."""
        for sandbox in self.view.pod(uid).sandboxes:
            if sandbox.ready or not sandbox.stopped:
                await self.cri.stop_sandbox(sandbox.id)
                self.view.note_stopped([sandbox.id])
        await self.volumes.tear_down(self.config.pod_dir(uid))
        await self._remove_cgroup(uid)
        # Last: a driver that has gone for good keeps nothing else from being cleaned up.
        await self.claims.release(uid)

    async def remove(self, uid: str, log_directory: Path | None) -> None:
        """What ``release`` has left: sandboxes with their containers, files, logs."""
        for sandbox in self.view.pod(uid).sandboxes:
            try:
                await self.cri.remove_sandbox(sandbox.id)
            except RuntimeNotFound:
                log.debug("sandbox %s is gone already", sandbox.id)
        # Before the pod is forgotten, so that an agent that is killed here finds it again.
        if log_directory is not None:
            shutil.rmtree(log_directory, ignore_errors=True)
        self.view.forget(uid)
        await self.volumes.remove(self.config.pod_dir(uid))

    async def remove_orphan(self, uid: str) -> None:
        """A pod that the API no longer has: stop what runs, then remove everything."""
        seen = await self.view.refresh(uid)
        for container in seen.running:
            try:
                await self.cri.stop_container(container.id, grace_seconds=seen.grace_seconds)
            except RuntimeNotFound:
                continue
        logs = list(self.config.log_dir.glob(f"*_{uid}"))
        await self.view.look_again(uid)
        await self.release(uid)
        await self.remove(uid, logs[0] if logs else None)

    def known_uids(self) -> set[str]:
        """Pods of which anything is on this node."""
        pods = self.config.data_dir / "pods"
        on_disk = {entry.name for entry in pods.iterdir()} if pods.is_dir() else set()
        with_claims = self.claims.books.pods()
        return set(self.view.uids()) | on_disk | self.cgroups.pods() | with_claims

    async def _remove_cgroup(self, uid: str) -> None:
        for _ in range(int(CGROUP_SECONDS / _CGROUP_POLL_SECONDS)):
            if self.cgroups.remove_pod(uid):
                return
            await asyncio.sleep(_CGROUP_POLL_SECONDS)
        log.warning("a cgroup of pod %s is still in use", uid)
