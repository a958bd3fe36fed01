"""Looking every few seconds, and acting: reclaim what nobody needs, then evict one pod."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sagong.api.pods import is_finished
from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.ctl.controller import Events
from sagong.node.config import NodeConfig
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.eviction.observation import (
    candidates,
    image_directory,
    read_signals,
    writable_layers,
)
from sagong.node.eviction.ranking import Candidate, excess, has_storage_limits, message, rank
from sagong.node.eviction.thresholds import (
    CONDITIONS,
    RESOURCES,
    Threshold,
    Watch,
    judge,
    parse_thresholds,
)
from sagong.node.images.collector import ImageCollector
from sagong.node.pods.admission import is_critical
from sagong.node.pods.cgroups import CgroupTree
from sagong.node.pods.runtime_view import RuntimeView
from sagong.node.stats.figures import CgroupFiles

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS_MAX = 30.0  # how long an evicted pod is waited for before the next look
_POLL_SECONDS = 0.2
HARD_GRACE_SECONDS = 1.0  # a hard threshold leaves no time


class Tenant(Protocol):
    """A pod's worker, as far as eviction needs it."""

    @property
    def pod(self) -> Obj: ...

    @property
    def is_ending(self) -> bool: ...

    def evict(self, message: str, *, grace_seconds: float | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Node:
    """What the evictor looks at and works with."""

    config: NodeConfig
    cri: CriClient
    view: RuntimeView
    cgroups: CgroupTree
    clock: Clock
    events: Events
    images: ImageCollector
    tenants: Callable[[], Sequence[Tenant]]
    reference: Callable[[], Obj]  # of the Node, for events


class Evictor:
    """One an agent. ``pressures`` are the node's conditions that are True."""

    def __init__(self, node: Node, changed: Callable[[Sequence[str]], None]) -> None:
        self._node = node
        self._changed = changed
        config = node.config
        self._thresholds = parse_thresholds(
            config.eviction_hard,
            config.eviction_soft,
            config.eviction_soft_grace_seconds,
            config.eviction_minimum_reclaim,
        )
        self._watch = Watch()
        self.pressures: Sequence[str] = ()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                evicted = await self.look()
            except (RuntimeFailure, OSError) as error:
                log.warning("cannot look for pressure: %s", error)
                evicted = None
            if evicted is not None:
                await self._wait_cleaned(evicted)
            await asyncio.sleep(self._node.config.eviction_seconds)

    async def look(self) -> Tenant | None:
        """One look; the pod that had to go, if any."""
        images = await image_directory(self._node.cri)
        verdict = self._judge(images)
        # Sizes of files are read for those whom they may concern: that is the dear part of a look.
        found = await self._usages(only_limited=not verdict)
        for tenant, candidate in found:
            if text := excess(candidate):
                return self._evict(tenant, text, HARD_GRACE_SECONDS)
        if not verdict:
            return None
        threshold = verdict[0]
        self._node.events.emit(
            self._node.reference(),
            "Warning",
            "EvictionThresholdMet",
            f"Attempting to reclaim {RESOURCES[threshold.signal]}",
        )
        if CONDITIONS[threshold.signal] == "DiskPressure":
            await self._node.images.remove_unused()
            if not self._judge(images):
                return None
        return self._evict_first(found, threshold, images)

    def _judge(self, images: Path | None) -> Sequence[Threshold]:
        """Note the conditions; the thresholds for which something must be reclaimed."""
        config = self._node.config
        verdict = judge(
            self._watch,
            self._thresholds,
            read_signals(config.data_dir, images),
            now=self._node.clock.monotonic(),
            transition_seconds=config.eviction_transition_seconds,
        )
        self._watch = verdict.watch
        if list(verdict.pressures) != list(self.pressures):
            self.pressures = verdict.pressures
            self._changed(verdict.pressures)
        return verdict.due

    async def _usages(self, *, only_limited: bool) -> list[tuple[Tenant, Candidate]]:
        node = self._node
        tenants = [t for t in node.tenants() if not t.is_ending and not is_finished(t.pod)]
        if only_limited:
            tenants = [t for t in tenants if has_storage_limits(t.pod)]
        if not tenants:
            return []
        layers = await writable_layers(node.cri)
        uids = [str(t.pod["metadata"]["uid"]) for t in tenants]
        given = [
            (t.pod, node.view.pod(uid), node.config.pod_dir(uid))
            for t, uid in zip(tenants, uids, strict=True)
        ]
        files = CgroupFiles(node.config.cgroup_mount, node.cgroups.is_unified)
        made = await asyncio.to_thread(candidates, given, node.cgroups, files, layers)
        return list(zip(tenants, made, strict=True))

    def _evict_first(
        self,
        found: Sequence[tuple[Tenant, Candidate]],
        threshold: Threshold,
        images: Path | None,
    ) -> Tenant | None:
        by_id = {id(candidate): tenant for tenant, candidate in found}
        reading = read_signals(self._node.config.data_dir, images)[threshold.signal]
        grace = HARD_GRACE_SECONDS
        if not threshold.is_hard:
            grace = self._node.config.eviction_max_pod_grace_seconds
        for candidate in rank([candidate for _, candidate in found], threshold.signal):
            if is_critical(candidate.pod):
                continue
            text = message(candidate, threshold, reading)
            return self._evict(by_id[id(candidate)], text, grace)
        log.error("the node is short of %s and has no pod to evict", threshold.signal.value)
        return None

    def _evict(self, tenant: Tenant, text: str, grace: float) -> Tenant:
        log.warning("evicting pod %s: %s", tenant.pod["metadata"]["name"], text)
        tenant.evict(text, grace_seconds=grace)
        return tenant

    async def _wait_cleaned(self, tenant: Tenant) -> None:
        try:
            async with asyncio.timeout(CLEAN_UP_SECONDS_MAX):
                while not is_finished(tenant.pod):  # noqa: ASYNC110 - a worker has no such event
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            log.warning("pod %s is still there", tenant.pod["metadata"]["name"])
