"""One pod's worker: observe, decide (``lifecycle.plan``), carry out, report; never two at once.

The worker lives as long as anything of the pod is on this node. It is woken by changes of the API
object, of the runtime, of probes, and by its own timer. The deletion of a pod interrupts whatever
is going on for it, an image pull for example.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sagong.api.errors import ApiError, Conflict, NotFound
from sagong.api.meta import is_deleting
from sagong.api.pods import is_finished
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_time
from sagong.core.supervision import supervised
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.controller import Events
from sagong.node.alignment.aligner import Aligner
from sagong.node.config import NodeConfig
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure, RuntimeNotFound
from sagong.node.dra.claims import ClaimFailure
from sagong.node.plugins.channel import PluginFailure
from sagong.node.pods import lifecycle, preemption, resize, resize_events
from sagong.node.pods.admission import Refused
from sagong.node.pods.cleaning import Cleaner
from sagong.node.pods.failures import (
    ResizeFailure,
    SandboxFailure,
    StartFailure,
    VolumesNotReady,
)
from sagong.node.pods.launcher import Launcher
from sagong.node.pods.lifecycle import Action, Plan
from sagong.node.pods.mirror import Mirror
from sagong.node.pods.model import (
    Ending,
    Kind,
    Memory,
    ProbeKind,
    ProbeView,
    Room,
    SeenPod,
    Situation,
    Stage,
    Waiting,
)
from sagong.node.pods.pod_status import pod_status
from sagong.node.pods.references import container_reference, pod_reference
from sagong.node.pods.runtime_view import RuntimeView
from sagong.node.pods.spec import describe, find_container, grace_seconds
from sagong.node.pods.status_writer import StatusWriter, is_newer
from sagong.node.pods.tenancy import Tenancy
from sagong.node.pods.termination import Stopper
from sagong.node.probes.counts import ProbeCounts, Probed
from sagong.node.probes.handlers import run_probe
from sagong.node.probes.outcome import Outcome
from sagong.node.probes.pod_prober import PodProber
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.pod_volumes import PodVolumes

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # after an unexpected failure; doubled up to the limit
RETRY_LIMIT_SECONDS = 30.0
SANDBOX_RETRY_SECONDS = 5.0
CONDITION_SECONDS = 2.0
CLAIM_RETRY_SECONDS = 2.0  # a claim is reserved, or its driver there, any moment
ATTACHMENT_LOOK_SECONDS = 1.0
RESIZE_RETRY_SECONDS = 5.0
VOLUME_RETRY_SECONDS = 0.25  # a namespace's root CA is published any moment; doubled to the limit
SHUTDOWN_MESSAGE = "Pod was terminated in response to imminent node shutdown."
STEPS_AT_ONCE = 50  # actions lead to further ones; more in a row than this is a mistake of ours


Guard = Callable[[Obj, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all workers of an agent share."""

    config: NodeConfig
    client: Client
    cri: CriClient
    events: Events
    clock: Clock
    view: RuntimeView
    launcher: Launcher
    stopper: Stopper
    cleaner: Cleaner
    guard: Guard  # with a pod and its address, before a container of it starts
    volumes: PodVolumes
    tenancy: Tenancy
    aligner: Aligner
    probes: ProbeCounts
    worker: "Callable[[str], PodWorker | None]"  # of another pod, by its uid


class PodWorker:
    """Made when a pod is first seen; ``run`` returns when nothing of it is left here."""

    def __init__(self, pod: Obj, workshop: Workshop, mirror: Mirror | None = None) -> None:
        """A static pod has a mirror, whose status it writes in place of its own."""
        self._pod = pod
        self._shop = workshop
        self._memory = Memory(allocation=resize.initial(pod))
        self._is_admitted = _has_begun(pod)
        if self._is_admitted:
            workshop.tenancy.take(self._as_allocated())
        self._volumes: Mapping[str, Mounted] | None = None
        # What a refresh makes must not appear after all has been torn down.
        self._volume_lock = asyncio.Lock()
        self._is_volumes_stale = False  # the pod's own labels or annotations have changed
        self._gone = False  # the API object is no more
        self._done = False
        self._left = asyncio.Event()
        self._ended = asyncio.Event()  # what it held has been released
        self._wake = asyncio.Event()
        self._step: asyncio.Task[float | None] | None = None
        self._prober: PodProber | None = None
        # (container, sandbox) -> monotonic time of the next start after one that failed.
        self._retry_at: dict[tuple[str, str], float] = {}
        self._failures = 0
        self._volume_failures = 0
        # Whether a deed was broken off or failed, so that what is at the runtime must be listed.
        self._is_unsure = False
        self._mirror = mirror
        self._writer = StatusWriter(workshop.client, self._shown, self._learn)

    @property
    def pod(self) -> Obj:
        """The API object as last seen."""
        return self._pod

    @property
    def volumes(self) -> Mapping[str, Mounted] | None:
        """What is mounted, by volume; None before."""
        return self._volumes

    @property
    def uid(self) -> str:
        return str(self._pod["metadata"]["uid"])

    def update(self, pod: Obj) -> None:
        """The API object has changed."""
        before = self._pod
        self._learn(pod)
        if is_told_differently(before, pod):
            self._is_volumes_stale = True
        if _what_starts_depend_on(pod) != _what_starts_depend_on(before):
            self._retry_at.clear()
        begins = is_deleting(pod) and not is_deleting(before)
        hurried = is_deleting(before) and grace_seconds(pod) < grace_seconds(before)
        if begins or hurried:
            self._interrupt()
        self._wake.set()

    def remove(self) -> None:
        """The API object is gone: whatever still runs must stop."""
        if self._gone:
            return
        self._gone = True
        if not is_deleting(self._pod):
            deleted = {"deletionTimestamp": format_time(self._shop.clock.now())}
            self._pod = {**self._pod, "metadata": {**self._pod["metadata"], **deleted}}
        self._interrupt()
        self._wake.set()

    @property
    def is_stopping(self) -> bool:
        """Whether its containers are being stopped, so that it will look at them itself."""
        return self._memory.stage is Stage.TERMINATING

    @property
    def is_ending(self) -> bool:
        """Whether its end has begun, whatever for."""
        return self._memory.stage is not Stage.RUNNING or self._gone or is_deleting(self._pod)

    def evict(self, message: str, *, grace_seconds: float | None) -> None:
        """End the pod because the node needs what it uses; it fails with reason Evicted."""
        if self.is_ending:
            return
        self._shop.events.emit(pod_reference(self._pod), "Warning", "Evicted", message)
        self._end(Ending("Evicted", message, is_disruption=True, grace_seconds=grace_seconds))

    def shut_down(self, *, grace_seconds: float) -> None:
        """End the pod because the machine goes down."""
        if not self.is_ending:
            reason, text = "Terminated", SHUTDOWN_MESSAGE
            self._end(Ending(reason, text, is_disruption=True, grace_seconds=grace_seconds))

    def preempt(self) -> None:
        """End the pod because a critical one needs its room."""
        if self.is_ending:
            return
        text = preemption.MESSAGE
        self._shop.events.emit(pod_reference(self._pod), "Warning", "Preempting", text)
        self._end(Ending("Preempting", text, is_disruption=True, disruption=preemption.DISRUPTION))

    def _end(self, ending: Ending) -> None:
        self._memory = replace(self._memory, ending=ending, stage=Stage.TERMINATING)
        self._interrupt()
        self._wake.set()

    async def wait_released(self) -> None:
        """Until the pod has let go of all that it held."""
        await self._ended.wait()

    async def wait_ended(self) -> None:
        """Until nothing of the pod runs here, and its status says so."""
        await self._ended.wait()
        await self._writer.wait_written()

    def wake(self) -> None:
        """Something about the pod may have changed at the runtime."""
        self._wake.set()

    def _shown(self) -> Obj:
        """The API's object whose status is ours to write; {} while there is none."""
        if self._mirror is not None:
            return self._mirror.pod or {}
        return self._pod

    def _learn(self, pod: Obj) -> None:
        if self._mirror is not None:
            self._mirror.pod = pod
            return
        if is_newer(pod, self._pod) and not self._gone:
            self._pod = pod

    def _interrupt(self) -> None:
        """Break off what is being carried out; what it has begun is seen and dealt with."""
        if self._step is not None and self._memory.stage in (Stage.RUNNING, Stage.TERMINATING):
            self._step.cancel()

    async def wait_left(self) -> None:
        """Until nothing of the pod is on this node."""
        await self._left.wait()

    async def run(self) -> None:
        """Until the pod has left this node."""
        async with task_group() as tasks:
            self._prober = self._make_prober(tasks)
            name = f"status of pod {self.uid}"
            tasks.start(supervised(name, self._writer.run), name=name)
            while not self._done:
                self._wake.clear()
                self._step = tasks.start(self._supervised_step(), name=f"pod {self.uid}")
                await asyncio.wait({self._step})
                self._is_unsure = self._is_unsure or self._step.cancelled()
                delay = 0.0 if self._step.cancelled() else self._step.result()
                self._step = None
                if not self._done:
                    await self._wait_woken(delay)

    async def _wait_woken(self, delay: float | None) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _supervised_step(self) -> float | None:
        """One round; seconds until the next one is due, None if only a wake-up is."""
        try:
            delay = await self._round()
        except (RuntimeFailure, PluginFailure, ApiError, OSError) as error:
            log.warning("pod %s: %s", describe(self._pod), error)
        except Exception:
            log.exception("pod %s", describe(self._pod))
        else:
            self._failures = 0
            return delay
        self._failures += 1
        self._is_unsure = True
        return float(min(RETRY_SECONDS * 2 ** min(self._failures, 10), RETRY_LIMIT_SECONDS))

    def _as_allocated(self) -> Obj:
        """The pod with the resources that this node has agreed to."""
        return resize.as_allocated(self._pod, self._memory.allocation)

    async def _admit(self, seen: SeenPod) -> None:
        """Decide once whether this node takes the pod; what runs here already was taken before."""
        self._is_admitted = True
        if is_deleting(self._pod) or is_finished(self._pod):
            return
        if seen.sandboxes or seen.containers:
            self._shop.tenancy.take(self._as_allocated())
            return
        refused = self._shop.tenancy.admit(self._as_allocated())
        if refused is not None and (victims := self._shop.tenancy.victims(self._as_allocated())):
            await self._take_place_of(victims)
            refused = self._shop.tenancy.admit(self._as_allocated())
        if refused is None:
            refused = await self._shop.aligner.allocate(self._pod)
            if refused is not None:
                self._shop.tenancy.leave(self.uid)
        if refused is not None:
            self._refuse(refused)

    async def _take_place_of(self, victims: Sequence[str]) -> None:
        """Until those pods have ended, each within its own grace."""
        found = [worker for uid in victims if (worker := self._shop.worker(uid)) is not None]
        for worker in found:
            worker.preempt()
        for worker in found:
            await worker.wait_released()

    def _refuse(self, refused: Refused) -> None:
        about = pod_reference(self._pod)
        self._shop.events.emit(about, "Warning", refused.reason, refused.message)
        text = f"Pod was rejected: {refused.message}"
        ending = Ending(refused.reason, text, is_refusal=True)
        self._memory = replace(self._memory, ending=ending, stage=Stage.TERMINATING)

    def _remember(self, memory: Memory) -> None:
        """Take over what was decided; tell others of a changed allocation."""
        before, self._memory = self._memory.allocation, memory
        if memory.stage in (Stage.TERMINATED, Stage.CLEAN):
            self._shop.tenancy.leave(self.uid)
            self._shop.aligner.release(self.uid)
        elif memory.allocation.allocated != before.allocated:
            self._shop.tenancy.take(self._as_allocated())
        for type_, reason, text in resize_events.between(self._pod, before, memory.allocation):
            self._shop.events.emit(pod_reference(self._pod), type_, reason, text)
        pending = memory.allocation.pending
        if pending is not None and pending.reason == "Deferred":
            self._shop.tenancy.wait(self.uid, self.wake)

    async def _round(self) -> float | None:
        for _ in range(STEPS_AT_ONCE):
            seen = await self._observe()
            if not self._is_admitted:
                await self._admit(seen)
            if self._is_volumes_stale:
                await self.refresh_volumes()
            situation = self._situation(seen)
            plan = lifecycle.plan(situation)
            self._remember(plan.memory)
            self._look_after_probes(seen)
            self._announce_back_offs(plan)
            self._report(replace(situation, memory=plan.memory))
            delays = [plan.after_seconds] if plan.after_seconds is not None else []
            acted = False
            for action in plan.actions:
                delay = await self._carry_out(action, seen)
                acted = acted or delay is None
                if delay is not None:
                    delays.append(delay)
                    if not isinstance(action, lifecycle.StartContainer):
                        break
            if not acted or self._done:
                self._report(replace(situation, memory=self._memory))
                return min(delays, default=None)
        log.error("pod %s does not settle", describe(self._pod))
        return RETRY_LIMIT_SECONDS

    async def _observe(self) -> SeenPod:
        """The shared view follows the runtime and is told of each deed: no listing of our own."""
        if not self._is_unsure:
            return self._shop.view.pod(self.uid)
        seen = await self._shop.view.refresh(self.uid)
        self._is_unsure = False
        return seen

    def _situation(self, seen: SeenPod) -> Situation:
        return Situation(
            pod=self._pod,
            seen=seen,
            probes=self._prober.view() if self._prober else ProbeView(),
            memory=self._memory,
            now=self._shop.clock.now(),
            volumes_ready=self._volumes is not None,
            room=self._room(),
            host_ips=self._shop.config.host_ips,
            crash_back_off_max_seconds=self._shop.config.crash_back_off_max_seconds,
            device_health=self._shop.launcher.device_health(self._pod),
        )

    def _room(self) -> Room | None:
        if not resize.is_resized(self._pod, self._memory.allocation):
            pending = self._memory.allocation.pending
            return Room({}, {}) if pending is not None else None
        room = self._shop.tenancy.room(self.uid)
        return replace(room, infeasible=self._shop.aligner.unresizable(self._pod))

    def _report(self, situation: Situation) -> None:
        if self._gone:
            return
        status = pod_status(situation)
        if self._mirror is not None:
            self._pod = {**self._pod, "status": status}
        self._writer.want(status)

    def _announce_back_offs(self, plan: Plan) -> None:
        for waiting in plan.backing_off:
            found = find_container(self._pod, waiting.name)
            about = container_reference(self._pod, found[0] if found else Kind.MAIN, waiting.name)
            text = (
                f"Back-off restarting failed container {waiting.name} in pod {describe(self._pod)}"
            )
            self._shop.events.emit(about, "Warning", "BackOff", text)

    # Carrying out

    async def _carry_out(self, action: Action, seen: SeenPod) -> float | None:
        """None when done; else seconds after which to try again."""
        match action:
            case lifecycle.SetUpVolumes():
                return await self._set_up_volumes(seen)
            case lifecycle.CreateSandbox():
                return await self._create_sandbox(action)
            case lifecycle.KillSandbox():
                await self._kill_sandbox(action, seen)
            case lifecycle.KillContainer():
                await self._kill_container(action, seen)
            case lifecycle.StartContainer():
                return await self._start_container(action, seen)
            case lifecycle.ResizeContainers():
                return await self._resize(action, seen)
            case lifecycle.RestartAll():
                await self._restart_all(action)
            case lifecycle.RemoveDead():
                await self._remove_dead(action)
            case lifecycle.Terminate():
                await self._stop_all(seen)
            case lifecycle.TearDown():
                await self._tear_down()
            case lifecycle.DeletePod():
                await self._delete_pod()
        return None

    def _volume_context(self, seen: SeenPod) -> VolumeContext:
        launcher = self._shop.launcher
        return VolumeContext(
            pod=self._pod,
            directory=self._shop.config.pod_dir(self.uid),
            objects=launcher.objects,
            node=launcher.node_facts(),
            clock=self._shop.clock,
            pod_ips=launcher.pod_ips(self._pod, seen.sandbox),
        )

    async def _set_up_volumes(self, seen: SeenPod) -> float | None:
        try:
            self._volumes = await self._shop.volumes.set_up(self._volume_context(seen))
        except VolumesNotReady as error:
            about = pod_reference(self._pod)
            for problem in error.problems:
                self._shop.events.emit(about, "Warning", problem.reason, problem.text)
            if error.is_waiting:
                return ATTACHMENT_LOOK_SECONDS
            self._volume_failures += 1
            delay = VOLUME_RETRY_SECONDS * 2 ** min(self._volume_failures - 1, 10)
            return float(min(delay, RETRY_LIMIT_SECONDS))
        self._volume_failures = 0
        return None

    async def refresh_volumes(self) -> None:
        """Bring ConfigMaps, Secrets and tokens in volumes up to date."""
        async with self._volume_lock:
            if self._volumes is None or self._memory.stage is not Stage.RUNNING:
                return
            self._is_volumes_stale = False
            await self._shop.volumes.refresh(self._volume_context(self._shop.view.pod(self.uid)))

    async def _create_sandbox(self, action: lifecycle.CreateSandbox) -> float | None:
        try:
            await self._shop.launcher.claims.prepare(self._pod)
            sandbox_id = await self._shop.launcher.create_sandbox(
                self._as_allocated(), action.attempt
            )
            await self._shop.view.note_sandbox(self.uid, sandbox_id)
            sandbox = self._shop.view.pod(self.uid).sandbox
            for ip in sandbox.ips if sandbox is not None else ():
                await self._shop.guard(self._pod, ip)
        except ClaimFailure as error:
            text = f"Failed to prepare dynamic resources: {error}"
            about = pod_reference(self._pod)
            self._shop.events.emit(about, "Warning", "FailedPrepareDynamicResources", text)
            return CLAIM_RETRY_SECONDS
        except SandboxFailure as error:
            self._is_unsure = True
            log.info("pod %s: %s", describe(self._pod), error)
            return SANDBOX_RETRY_SECONDS
        return None

    async def _kill_sandbox(self, action: lifecycle.KillSandbox, seen: SeenPod) -> None:
        if action.reason:
            self._shop.events.emit(
                pod_reference(self._pod), "Normal", "SandboxChanged", action.reason
            )
        await self._stop_all(seen)

    async def _stop_all(self, seen: SeenPod) -> None:
        ending = self._memory.ending
        grace = ending.grace_seconds if ending is not None else None
        await self._shop.stopper.stop_pod(self._pod, seen, grace_seconds=grace)
        self._shop.view.note_stopped(sandbox.id for sandbox in seen.sandboxes)
        await self._shop.view.look_again(self.uid)

    async def _kill_container(self, action: lifecycle.KillContainer, seen: SeenPod) -> None:
        container = next((c for c in seen.containers if c.id == action.id), None)
        if container is None:
            return
        grace = float(self._probe_grace(action))
        await self._shop.stopper.stop_container(self._pod, container, grace, action.message)
        await self._shop.view.note_container(self.uid, container.id, container.sandbox_id)

    def _probe_grace(self, action: lifecycle.KillContainer) -> int:
        """A failed probe's own terminationGracePeriodSeconds wins over the pod's."""
        found = find_container(self._pod, action.name)
        if action.probe is not None and found is not None:
            probe = found[1].get(f"{action.probe.value.lower()}Probe") or {}
            if (own := probe.get("terminationGracePeriodSeconds")) is not None:
                return int(own)
        return grace_seconds(self._pod)

    async def _start_container(
        self, action: lifecycle.StartContainer, seen: SeenPod
    ) -> float | None:
        now = self._shop.clock.monotonic()
        attempted = (action.name, action.sandbox.id)
        if (left := self._retry_at.get(attempted, now) - now) > 0:
            return left
        try:
            container_id = await self._shop.launcher.start_container(
                self._as_allocated(), action, self._volumes or {}, seen
            )
        except StartFailure as failure:
            self._is_unsure = True
            log.info("pod %s: %s: %s", describe(self._pod), failure.reason, failure.message)
            waiting = Waiting(failure.reason, failure.message)
            self._remember_failure(action.name, waiting)
            self._retry_at[attempted] = now + failure.retry_seconds
            return failure.retry_seconds
        await self._shop.view.note_container(self.uid, container_id, action.sandbox.id)
        self._retry_at.pop(attempted, None)
        self._remember_failure(action.name, None)
        return None

    async def _resize(self, action: lifecycle.ResizeContainers, seen: SeenPod) -> float | None:
        allocation = self._memory.allocation
        try:
            await self._shop.launcher.resize(
                resize.as_actuated(self._pod, allocation), self._as_allocated(), action.names, seen
            )
        except ResizeFailure as failure:
            log.info("pod %s cannot be resized yet: %s", describe(self._pod), failure)
            self._remember(
                replace(self._memory, allocation=replace(allocation, error=str(failure)))
            )
            return RESIZE_RETRY_SECONDS
        for name in action.names:
            allocation = resize.actuate(allocation, name)
        self._remember(replace(self._memory, allocation=replace(allocation, error="")))
        return None

    def _remember_failure(self, name: str, waiting: Waiting | None) -> None:
        failures = {k: v for k, v in self._memory.failures.items() if k != name}
        if waiting is not None:
            failures[name] = waiting
        self._memory = replace(self._memory, failures=failures)

    async def _restart_all(self, action: lifecycle.RestartAll) -> None:
        """The condition has been reported just now: let others see it, if that takes no time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONDITION_SECONDS):
                await self._writer.wait_written()
        for container in action.running:
            await self._shop.stopper.kill_container(self._pod, container)
        for container in action.removed:
            await self._remove_dead(lifecycle.RemoveDead((container.id,), ()))
        self._is_unsure = True

    async def _remove_dead(self, action: lifecycle.RemoveDead) -> None:
        for container_id in action.containers:
            try:
                await self._shop.cri.remove_container(container_id)
            except RuntimeNotFound:
                continue
        for sandbox_id in action.sandboxes:
            try:
                await self._shop.cri.remove_sandbox(sandbox_id)
            except RuntimeNotFound:
                continue
        self._shop.view.forget(self.uid, (*action.containers, *action.sandboxes))

    async def _tear_down(self) -> None:
        """Release what a pod that no longer runs holds; its logs and dead containers stay."""
        async with self._volume_lock:
            self._volumes = None
            await self._shop.cleaner.release(self.uid)
        self._memory = replace(self._memory, stage=Stage.CLEAN)
        self._report(self._situation(self._shop.view.pod(self.uid)))
        self._ended.set()

    async def _delete_pod(self) -> None:
        """The last word: final status, the API object, then everything that is left here."""
        if not self._gone:
            await self._writer.wait_written()
            await self._delete_object()
        await self._shop.cleaner.remove(self.uid, self._shop.launcher.log_directory(self._pod))
        self._shop.launcher.objects.forget_pod(self.uid)
        self._shop.tenancy.leave(self.uid)
        self._shop.aligner.release(self.uid)
        self._shop.probes.forget(self.uid)
        self._done = True
        self._left.set()

    async def _delete_object(self) -> None:
        metadata = self._pod["metadata"]
        try:
            await self._shop.client.delete(
                "pods",
                metadata["name"],
                namespace=metadata["namespace"],
                uid=metadata["uid"],
                grace_period_seconds=0,
            )
        except (NotFound, Conflict):
            # Gone, or another pod of the same name by now: either way this one is no more.
            log.debug("pod %s was gone already", describe(self._pod))

    # Probes

    def _make_prober(self, tasks: Tasks) -> PodProber:
        def report(kind: Kind, name: str, reason: str, message: str) -> None:
            about = container_reference(self._pod, kind, name)
            self._shop.events.emit(about, "Warning", reason, message)

        metadata = self._pod["metadata"]
        namespace, pod_name = metadata["namespace"], metadata["name"]

        def count(name: str, kind: ProbeKind, result: str) -> None:
            self._shop.probes.add(Probed(self.uid, namespace, pod_name, name, kind, result))

        return PodProber(tasks, self._shop.clock, self._attempt_probe, report, self.wake, count)

    async def _attempt_probe(self, container: Obj, container_id: str, probe: Obj) -> Outcome:
        sandbox = self._shop.view.pod(self.uid).sandbox
        ips = self._shop.launcher.pod_ips(self._pod, sandbox)
        return await run_probe(self._shop.cri, probe, container, container_id, next(iter(ips), ""))

    def _look_after_probes(self, seen: SeenPod) -> None:
        if self._prober is not None:
            terminating = self._memory.stage is not Stage.RUNNING
            self._prober.sync(self._pod, seen, terminating=terminating)


def _has_begun(pod: Obj) -> bool:
    """Whether a node has taken the pod before: an agent that begins takes it over."""
    status = pod.get("status") or {}
    return bool(status.get("startTime")) and not is_deleting(pod) and not is_finished(pod)


def _what_starts_depend_on(pod: Obj) -> tuple[Any, ...]:
    """Those parts of the object that a failed start may have failed for: worth another attempt."""
    metadata = pod["metadata"]
    return pod["spec"], metadata.get("labels"), metadata.get("annotations")


def is_told_differently(before: Obj, after: Obj) -> bool:
    """Whether a pod reads other things about itself than before."""
    return any(
        (before["metadata"].get(field) or {}) != (after["metadata"].get(field) or {})
        for field in ("labels", "annotations")
    )
