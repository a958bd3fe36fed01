"""The scheduler: watches pods and nodes, decides pod after pod, binds in the background.

Reads: Pod, Node, Namespace, Service, workloads, PodDisruptionBudget, and the objects of storage.
Writes: Pod (binding, PodScheduled condition, nominatedNodeName, eviction of victims),
PersistentVolumeClaim and PersistentVolume (binding decisions), Event, pods/scheduling (records).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sagong.api import errors
from sagong.api.meta import uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.controller import Events
from sagong.ctl.informer import SharedCache
from sagong.scheduler import binding, defaults, watching
from sagong.scheduler.cycle import Decider, Decision, Explanation, Filtered
from sagong.scheduler.happenings import Anything
from sagong.scheduler.plugin import Cycle, PodRefused
from sagong.scheduler.pod import DEFAULT_SCHEDULER, PodFacts
from sagong.scheduler.preempting import BUDGETS, Preempting
from sagong.scheduler.preemption import Candidate
from sagong.scheduler.profile import Profile, profile_of
from sagong.scheduler.publishing import Publishing
from sagong.scheduler.queue import (
    BACKOFF_FIRST_SECONDS,
    BACKOFF_MAX_SECONDS,
    SchedulingQueue,
    Waiting,
)
from sagong.scheduler.records import Record, Records
from sagong.scheduler.reporting import Reporting
from sagong.scheduler.volumes import VolumeDecision, look_up
from sagong.scheduler.volumes import decide as decide_volumes
from sagong.scheduler.watching import Watching

log = logging.getLogger(__name__)

NAME = DEFAULT_SCHEDULER
RESOURCES = (*watching.RESOURCES, *defaults.RESOURCES, BUDGETS)
BINDINGS_MAX = 256  # under way at once; past it no further pod is decided until one has ended
# Decisions made before watches and bindings get their turn.
DECISIONS_IN_A_ROW = 16


@dataclass(frozen=True, slots=True)
class SchedulerSettings:
    """What a configuration may say."""

    profiles: Sequence[Profile] = field(default_factory=lambda: (profile_of(),))
    backoff_first_seconds: float = BACKOFF_FIRST_SECONDS
    backoff_max_seconds: float = BACKOFF_MAX_SECONDS


@dataclass(frozen=True, slots=True)
class _Placement:
    """A decision that is being carried out."""

    waiting: Waiting
    pod: PodFacts
    obj: Obj
    node: str
    volumes: VolumeDecision


class Scheduler:
    """Schedules the pods that name one of its profiles."""

    def __init__(
        self,
        client: Client,
        cache: SharedCache,
        events: Events,
        clock: Clock,
        ids: Ids,
        settings: SchedulerSettings | None = None,
    ) -> None:
        settings = settings or SchedulerSettings()
        self.records = Records()
        self._profiles = {profile.name: profile for profile in settings.profiles}
        self._client = client
        self._cache = cache
        self._events = events
        self._clock = clock
        self._wakeup = asyncio.Event()
        self._bindings = asyncio.Semaphore(BINDINGS_MAX)
        self._queue = SchedulingQueue(
            backoff_first_seconds=settings.backoff_first_seconds,
            backoff_max_seconds=settings.backoff_max_seconds,
        )
        self._seen = Watching(
            cache,
            clock,
            self._queue,
            schedulers=frozenset(self._profiles),
            wakeup=self._wakeup.set,
        )
        self._decider = Decider(ids)
        self._defaults = defaults.DefaultSelectors(cache)
        self._preempting = Preempting(client, cache, events, clock, ids, self._seen.nominees)
        self._reporting = Reporting(client, events, clock)
        self._publishing = Publishing(client, self.records, self._queue.has_active)
        self._volume_binder = binding.VolumeBinder(client, cache)

    async def run(self) -> None:
        """Schedule until cancelled."""
        await self._cache.wait_synced(RESOURCES)
        async with task_group() as tasks:
            tasks.start(self._publishing.run(), name="scheduling records")
            in_a_row = 0
            while True:
                waiting = self._queue.pop(self._clock.monotonic())
                if waiting is None:
                    await self._wait_for_work()
                    continue
                await self._bindings.acquire()
                if not self._schedule(waiting, tasks):
                    self._bindings.release()
                in_a_row += 1
                if in_a_row >= DECISIONS_IN_A_ROW:
                    in_a_row = 0
                    await asyncio.sleep(0)

    async def _wait_for_work(self) -> None:
        self._wakeup.clear()
        if self._queue.has_active():
            return
        due = self._queue.next_due()
        delay = None if due is None else max(0.0, due - self._clock.monotonic())
        try:
            async with asyncio.timeout(delay):
                await self._wakeup.wait()
        except TimeoutError:
            return

    def _schedule(self, waiting: Waiting, tasks: Tasks) -> bool:
        """Decide for one pod; True if a task now carries the decision out."""
        obj = self._cache.get("pods", waiting.key.namespace, waiting.key.name)
        if obj is None or uid_of(obj) != waiting.uid or not self._seen.is_ours(obj):
            self._queue.remove(waiting.uid)
            return False
        pod = waiting.pod
        profile = self._profiles[pod.scheduler_name]
        cycle = self._cycle(pod)
        decision, explanation, victims = self._decide(profile, cycle)
        message = explanation.message() if explanation else ""
        self._remember(waiting, decision, message)
        if decision.slot is None:
            assert explanation is not None
            refused_by = frozenset(explanation.refused_by)
            self._queue.park(waiting, refused_by, self._clock.monotonic())
            refusing = self._refuse(obj, pod, message, victims)
            tasks.start(refusing, name=f"report {waiting.key}")
            return False
        node = self._seen.state.columns.facts(decision.slot)
        chosen = VolumeDecision()
        if pod.claims:
            chosen = decide_volumes(cycle.volumes, node.name, node.labels) or chosen
        self._seen.assume(pod, node.name)
        placement = _Placement(waiting, pod, obj, node.name, chosen)
        tasks.start(self._carry_out(placement), name=f"bind {waiting.key}")
        return True

    def _cycle(self, pod: PodFacts) -> Cycle:
        volumes = look_up(pod, self._cache)
        return Cycle(pod, self._seen.state, volumes, self._defaults.of(pod.template))

    def _decide(
        self, profile: Profile, cycle: Cycle
    ) -> tuple[Decision, Explanation | None, Candidate | None]:
        """Hold a pod against the nodes; if none takes it, look for pods that should make room.

        Pods of no lower priority for which room is being made count as being there already. As
        they may yet go elsewhere, the pod must not depend on them either.
        """
        nominees = self._seen.nominees
        columns = cycle.state.columns
        also = self._without_nominees(profile, cycle)
        with nominees.as_seen_by(cycle.pod):
            node = nominees.node_of(cycle.pod.uid)
            nominated = columns.slot(node) if node else None
            decision = self._decider.decide(profile, cycle, nominated=nominated, also=also)
            explanation = decision.explanation
            if explanation is None or not profile.preempts:
                return decision, explanation, None
            ineligible = self._preempting.ineligible(cycle, decision)
            attempt = None
            if not ineligible:
                attempt = self._preempting.search(profile, cycle, decision)
        if ineligible:
            return decision, replace(explanation, ineligible=ineligible), None
        explanation, victims = self._preempting.settle(cycle.pod, explanation, attempt)
        return decision, explanation, victims

    def _without_nominees(self, profile: Profile, cycle: Cycle) -> Filtered | None:
        template = cycle.template
        if not len(self._seen.nominees) or not (template.affinity or template.spread):
            return None
        with self._seen.nominees.as_seen_by(cycle.pod, none=True):
            try:
                return self._decider.filter(profile, cycle)
            except PodRefused:
                return None  # It will be refused for the same reason again.

    async def _refuse(
        self, obj: Obj, pod: PodFacts, message: str, victims: Candidate | None
    ) -> None:
        nominated = self._seen.nominees.node_of(pod.uid)
        await self._reporting.report(obj, message, nominated=nominated)
        if victims is None:
            return
        try:
            await self._preempting.carry_out(pod, victims)
        except errors.ApiError as error:
            log.info("making room for %s on %s: %s", pod.key, victims.node, error)
            self._seen.nominees.remove(pod.uid)
            self._seen.happened(Anything())

    async def _carry_out(self, placement: _Placement) -> None:
        try:
            await self._bind(placement)
        except errors.ApiError as error:
            log.info("binding %s to %s: %s", placement.pod.key, placement.node, error)
            if await binding.is_bound(self._client, placement.pod, placement.node):
                self._queue.remove(placement.waiting.uid)
            else:
                self._forget(placement, gone=binding.is_final(error))
        except binding.VolumesFailed as error:
            self._forget(placement, gone=False)
            message = f'running PreBind plugin "VolumeBinding": binding volumes: {error}'
            await self._reporting.report(placement.obj, message)
        finally:
            self._bindings.release()

    async def _bind(self, placement: _Placement) -> None:
        if placement.volumes.bind or placement.volumes.provision:
            await self._volume_binder.bind(placement.volumes, placement.node)
        await binding.bind_pod(self._client, placement.pod, placement.node)
        self._queue.remove(placement.waiting.uid)
        message = f"Successfully assigned {placement.pod.key} to {placement.node}"
        self._events.emit(placement.obj, "Normal", "Scheduled", message)

    def _forget(self, placement: _Placement, *, gone: bool) -> None:
        """Take an assumption back: the room is free again and the pod waits again."""
        uid = placement.waiting.uid
        if gone:
            self._queue.remove(uid)
        else:
            self._queue.retry(placement.waiting, self._clock.monotonic())
        self._seen.give_up(uid)
        self._wakeup.set()

    def _remember(self, waiting: Waiting, decision: Decision, message: str) -> None:
        names = self._seen.state.columns.names
        now = self._clock.now()
        record = Record(waiting.pod, decision, names, now, waiting.attempts, message)
        self.records.add(record)
