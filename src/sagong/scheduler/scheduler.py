"""The scheduler: watches pods and nodes, decides pod after pod, binds in the background.

Reads: Pod, Node, Namespace, Service, workloads, PodDisruptionBudget, and the objects of storage.
Writes: Pod (binding, PodScheduled condition, nominatedNodeName, eviction of victims),
PersistentVolumeClaim and PersistentVolume (binding decisions), Event, pods/scheduling (records).
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, replace

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
from sagong.scheduler.columns import NodeFacts
from sagong.scheduler.configuration import SchedulerSettings
from sagong.scheduler.cycle import Decider, Decision, Explanation, Filtered, Outside, slots_of
from sagong.scheduler.devices.allocation import allocation_of
from sagong.scheduler.devices.binding import DeviceBinder, DeviceDecision, DevicesFailed
from sagong.scheduler.extenders import ExtenderFailed, Extenders
from sagong.scheduler.opinion import Opinion
from sagong.scheduler.plugin import Cycle, PodRefused
from sagong.scheduler.pod import DEFAULT_SCHEDULER, PodFacts
from sagong.scheduler.preempting import BUDGETS, Preempting
from sagong.scheduler.preemption import Attempt, Candidate
from sagong.scheduler.profile import Profile
from sagong.scheduler.publishing import Publishing
from sagong.scheduler.queue import (
    SchedulingQueue,
    Waiting,
)
from sagong.scheduler.records import Record, Records
from sagong.scheduler.reporting import FAILED, Reporting
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
class _Judgement:
    """What was decided about a pod; without a node, why, and who might make room."""

    cycle: Cycle
    decision: Decision
    explanation: Explanation | None = None
    attempt: Attempt | None = None


@dataclass(frozen=True, slots=True)
class _Placement:
    """A decision that is being carried out."""

    waiting: Waiting
    pod: PodFacts
    obj: Obj
    node: str
    volumes: VolumeDecision
    devices: DeviceDecision


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
        self._bind_seconds_max = settings.bind_seconds_max
        self._extenders = Extenders(settings.extenders)
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
        self._publishing = Publishing(client, self.records, self._is_busy)
        self._device_binder = DeviceBinder(client)
        self._volume_binder = binding.VolumeBinder(client, cache)

    async def run(self) -> None:
        """Schedule until cancelled."""
        await self._cache.wait_synced(RESOURCES)
        async with contextlib.aclosing(self._extenders), task_group() as tasks:
            tasks.start(self._publishing.run(), name="scheduling records")
            in_a_row = 0
            while True:
                waiting = self._queue.pop(self._clock.monotonic())
                if waiting is None:
                    await self._wait_for_work()
                    continue
                await self._bindings.acquire()
                if not await self._schedule(waiting, tasks):
                    self._bindings.release()
                in_a_row += 1
                if in_a_row >= DECISIONS_IN_A_ROW:
                    in_a_row = 0
                    await asyncio.sleep(0)

    def _is_busy(self) -> bool:
        """Whether pods wait to be decided about, or decisions to be carried out."""
        return self._queue.has_active() or bool(self._seen.assumed)

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

    async def _schedule(self, waiting: Waiting, tasks: Tasks) -> bool:
        """Decide for one pod; True if a task now carries the decision out."""
        obj = self._object_of(waiting)
        if obj is None:
            self._queue.remove(waiting.uid)
            return False
        if self._extenders.concern(waiting.pod):
            try:
                return await self._schedule_asking(waiting, obj, tasks)
            except ExtenderFailed as error:
                self._queue.retry(waiting, self._clock.monotonic())
                failing = self._reporting.report(obj, str(error), reason=FAILED)
                tasks.start(failing, name=f"report {waiting.key}")
                return False
        return self._conclude(waiting, obj, self._judge(waiting.pod), tasks)

    async def _schedule_asking(self, waiting: Waiting, obj: Obj, tasks: Tasks) -> bool:
        """The same with extenders, to whom the world may change while they are asked."""
        pod = waiting.pod
        nodes = self._left_for(pod)
        opinion = None
        if nodes:
            opinion = await self._extenders.filter(pod, obj, nodes)
        if self._object_of(waiting) is not obj:
            self._queue.retry(waiting, self._clock.monotonic())
            return False
        judgement = self._judge(pod, opinion)
        if judgement.attempt is not None:
            attempt = await self._extenders.choose_victims(pod, obj, judgement.attempt)
            judgement = replace(judgement, attempt=attempt)
        return self._conclude(waiting, obj, judgement, tasks)

    def _object_of(self, waiting: Waiting) -> Obj | None:
        """The pod as the cache has it, if it still waits for us."""
        obj = self._cache.get("pods", waiting.key.namespace, waiting.key.name)
        if obj is None or uid_of(obj) != waiting.uid or not self._seen.is_ours(obj):
            return None
        return obj

    def _left_for(self, pod: PodFacts) -> dict[str, Obj]:
        """The nodes that our own filters leave for a pod."""
        profile, cycle = self._profiles[pod.scheduler_name], self._cycle(pod)
        with self._seen.nominees.as_seen_by(pod):
            try:
                filtered = self._decider.filter(profile, cycle)
            except PodRefused:
                return {}
        names = (cycle.state.columns.names[slot] for slot in slots_of(filtered))
        found = ((name, self._cache.get("nodes", "", name)) for name in names)
        return {name: node for name, node in found if node is not None}

    def _conclude(self, waiting: Waiting, obj: Obj, judgement: _Judgement, tasks: Tasks) -> bool:
        """Assume the pod on its node, or park it; what is to be written is written by a task."""
        pod, decision, cycle = waiting.pod, judgement.decision, judgement.cycle
        if decision.slot is None:
            explanation, victims = judgement.explanation, None
            assert explanation is not None
            if explanation.asks_preemption and not explanation.ineligible:
                explanation, victims = self._preempting.settle(pod, explanation, judgement.attempt)
            message = explanation.message()
            self._remember(waiting, decision, message)
            refused_by = frozenset(explanation.refused_by)
            self._queue.park(waiting, refused_by, self._clock.monotonic())
            refusing = self._refuse(waiting, obj, message, victims)
            tasks.start(refusing, name=f"report {waiting.key}")
            return False
        self._remember(waiting, decision, "")
        node = self._seen.state.columns.facts(decision.slot)
        chosen = VolumeDecision()
        if pod.claims:
            chosen = decide_volumes(cycle.volumes, node.name, node.labels) or chosen
        devices = self._choose_devices(cycle, node)
        self._seen.assume(pod, node.name)
        placement = _Placement(waiting, pod, obj, node.name, chosen, devices)
        tasks.start(self._carry_out(placement), name=f"bind {waiting.key}")
        return True

    def _choose_devices(self, cycle: Cycle, node: NodeFacts) -> DeviceDecision:
        """What the pod's claims get on the node; taken from now on."""
        found, decided = cycle.devices, list[tuple[Obj, Obj | None]]()
        decided += [(claim, None) for claim in found.to_reserve]
        chosen = (found.choose(node.name, node.labels) or []) if found.waiting else []
        for index, claim in enumerate(found.waiting):
            own = [entry for entry in chosen if entry.claim == index]
            allocation = allocation_of(claim, own, node.name)
            self._seen.devices.assume(claim, allocation)
            decided.append((claim, allocation))
        return DeviceDecision(decided)

    def _cycle(self, pod: PodFacts) -> Cycle:
        return Cycle(
            pod,
            self._seen.state,
            look_up(pod, self._cache),
            self._seen.devices.look_up(pod),
            self._defaults.of(pod.template),
        )

    def _judge(self, pod: PodFacts, opinion: Opinion | None = None) -> _Judgement:
        """Hold a pod against the nodes; if none takes it, look for pods that should make room.

        Pods of no lower priority for which room is being made count as being there already. As
        they may yet go elsewhere, the pod must not depend on them either.
        """
        profile, cycle = self._profiles[pod.scheduler_name], self._cycle(pod)
        nominees = self._seen.nominees
        also = self._without_nominees(profile, cycle)
        with nominees.as_seen_by(pod):
            node = nominees.node_of(pod.uid)
            nominated = cycle.state.columns.slot(node) if node else None
            outside = None if opinion is None else Outside(opinion, also)
            outside = outside or (Outside(None, also) if also else None)
            decision = self._decider.decide(profile, cycle, nominated=nominated, outside=outside)
            explanation = decision.explanation
            if explanation is None or not profile.preempts:
                return _Judgement(cycle, decision, explanation)
            ineligible = self._preempting.ineligible(cycle, decision)
            if ineligible:
                explanation = replace(explanation, ineligible=ineligible)
                return _Judgement(cycle, decision, explanation)
            attempt = self._preempting.search(profile, cycle, decision)
            return _Judgement(cycle, decision, explanation, attempt)

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
        self, waiting: Waiting, obj: Obj, message: str, victims: Candidate | None
    ) -> None:
        pod = waiting.pod
        nominated = self._seen.nominees.node_of(pod.uid)
        await self._reporting.report(obj, message, nominated=nominated)
        if victims is None:
            return
        try:
            await self._preempting.carry_out(pod, victims)
        except errors.ApiError as error:
            log.info("making room for %s on %s: %s", pod.key, victims.node, error)
            self._seen.nominees.remove(pod.uid)
            # After a pause that grows: trying at once would only fail at once.
            self._queue.retry(waiting, self._clock.monotonic())
            self._wakeup.set()

    async def _carry_out(self, placement: _Placement) -> None:
        try:
            await self._bind(placement)
        except errors.ApiError as error:
            log.info("binding %s to %s: %s", placement.pod.key, placement.node, error)
            if await binding.is_bound(self._client, placement.pod, placement.node):
                self._queue.remove(placement.waiting.uid)
            else:
                self._forget(placement, gone=binding.is_final(error))
                await self._device_binder.release(placement.pod, placement.devices)
        except ExtenderFailed as error:
            self._forget(placement, gone=False)
            message = f"binding rejected: {error}"
            await self._reporting.report(placement.obj, message, reason=FAILED)
        except DevicesFailed as error:
            self._forget(placement, gone=False)
            message = f'running PreBind plugin "DynamicResources": {error}'
            await self._reporting.report(placement.obj, message, reason=FAILED)
        except binding.VolumesFailed as error:
            self._forget(placement, gone=False)
            message = f'running PreBind plugin "VolumeBinding": binding volumes: {error}'
            await self._reporting.report(placement.obj, message)
        finally:
            self._bindings.release()

    async def _bind(self, placement: _Placement) -> None:
        if placement.volumes.bind or placement.volumes.provision:
            seconds = self._bind_seconds_max.get(placement.pod.scheduler_name)
            await self._volume_binder.bind(placement.volumes, placement.node, seconds)
        if placement.devices.claims:
            await self._device_binder.bind(placement.pod, placement.devices)
        binder = self._extenders.binder_of(placement.pod)
        if binder is not None:
            await self._extenders.bind(binder, placement.pod, placement.node)
        else:
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
        for claim, _ in placement.devices.claims:
            self._seen.devices.give_up(claim)
        self._seen.give_up(uid)
        self._wakeup.set()

    def _remember(self, waiting: Waiting, decision: Decision, message: str) -> None:
        names = self._seen.state.columns.names
        now = self._clock.now()
        record = Record(waiting.pod, decision, names, now, waiting.attempts, message)
        self.records.add(record)
