"""The scheduler: watches pods and nodes, decides pod after pod, binds in the background.

Reads: Pod, Node, Namespace, PersistentVolumeClaim, PersistentVolume, StorageClass,
PodDisruptionBudget.
Writes: Pod (binding, PodScheduled condition, nominatedNodeName, eviction of victims),
PersistentVolumeClaim and PersistentVolume (binding decisions), Event.
Invariant: a pod that has been assumed on a node counts there until its binding is seen in the
cache or has failed, so no room is given away twice.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import condition, is_deleting, labels_of, name_of, uid_of
from sagong.api.pods import is_finished
from sagong.api.types import Key, Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_time
from sagong.core.ids import Ids
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.controller import Events
from sagong.ctl.informer import SharedCache
from sagong.scheduler import binding, columns, pod
from sagong.scheduler.cycle import Decision, Explanation, decide
from sagong.scheduler.plugin import Cycle
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.preempting import BUDGETS, Preempting
from sagong.scheduler.preemption import Candidate, with_pods
from sagong.scheduler.queue import ClusterEvent, SchedulingQueue, Waiting
from sagong.scheduler.state import State
from sagong.scheduler.volumes import PodVolumes, VolumeDecision, look_up
from sagong.scheduler.volumes import decide as decide_volumes

log = logging.getLogger(__name__)

NAME = "default-scheduler"
RESOURCES = (
    "pods",
    "nodes",
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    BUDGETS,
)
_STORAGE = RESOURCES[3:6]
BINDINGS_MAX = 256  # under way at once; past it no further pod is decided until one has ended
# Telling a pod why it waits; past these it is told at its next attempt.
REPORT_ATTEMPTS = 4
REPORT_RETRY_SECONDS = 0.25
EXPLANATIONS_MAX = 1000  # recent decisions kept for whoever asks why


@dataclass(frozen=True, slots=True)
class _Placement:
    """A decision that is being carried out."""

    waiting: Waiting
    facts: PodFacts
    node: str
    volumes: VolumeDecision


class Scheduler:
    """Schedules the pods that name it. Several may run with different names."""

    def __init__(
        self,
        client: Client,
        cache: SharedCache,
        events: Events,
        clock: Clock,
        ids: Ids,
        *,
        name: str = NAME,
    ) -> None:
        self.name = name
        self.explanations: OrderedDict[str, Explanation] = OrderedDict()
        self._client = client
        self._cache = cache
        self._events = events
        self._clock = clock
        self._ids = ids
        self._state = State.empty(self._namespaces)
        self._queue = SchedulingQueue()
        self._wakeup = asyncio.Event()
        self._bindings = asyncio.Semaphore(BINDINGS_MAX)
        # Assumed pods by uid, until the cache shows them bound.
        self._assumed: dict[str, str] = {}
        self._preempting = Preempting(client, cache, events, clock, ids)
        self._volume_binder = binding.VolumeBinder(client, cache)
        for resource in RESOURCES:
            cache.declare(resource)
        cache.on_change("nodes", self._node_changed)
        cache.on_change("pods", self._pod_changed)
        for resource in _STORAGE:
            cache.on_change(resource, self._storage_changed)

    async def run(self) -> None:
        """Schedule until cancelled."""
        await self._cache.wait_synced(RESOURCES)
        async with task_group() as tasks:
            while True:
                waiting = self._queue.pop(self._clock.monotonic())
                if waiting is None:
                    await self._wait_for_work()
                    continue
                await self._bindings.acquire()
                if not self._schedule(waiting, tasks):
                    self._bindings.release()
                # Watches and bindings get their turn between two decisions.
                await asyncio.sleep(0)

    def explain(self, uid: str) -> Explanation | None:
        """The most recent decision about a pod, if it is still kept."""
        return self.explanations.get(uid)

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
        if obj is None or uid_of(obj) != waiting.uid or not self._is_ours(obj):
            self._queue.remove(waiting.uid)
            return False
        facts = pod.facts_of(obj)
        volumes = look_up(facts, self._cache) if facts.claims else PodVolumes()
        decision, victims = self._decide(Cycle(facts, self._state, volumes))
        self._remember(waiting.uid, decision)
        if decision.slot is None:
            refused_by = frozenset(decision.explanation.refused_by)
            self._queue.park(waiting, refused_by, self._clock.monotonic())
            tasks.start(
                self._refuse(obj, facts, decision.explanation.message(), victims),
                name=f"report {waiting.key}",
            )
            return False
        node = self._state.columns.facts(decision.slot)
        chosen = decide_volumes(volumes, node.name, node.labels) or VolumeDecision()
        self._preempting.nominees.remove(waiting.uid)
        self._state.place(facts, node.name)
        self._assumed[waiting.uid] = node.name
        placement = _Placement(waiting, facts, node.name, chosen)
        tasks.start(self._carry_out(placement, obj), name=f"bind {waiting.key}")
        return True

    def _decide(self, cycle: Cycle) -> tuple[Decision, Candidate | None]:
        """Hold a pod against the nodes; if none takes it, look for pods that should make room.

        Pods of no lower priority for which room is being made count as being there already.
        """
        nominees = self._preempting.nominees
        node = nominees.node_of(cycle.pod.uid)
        with with_pods(self._state, nominees.ahead_of(cycle.pod)):
            nominated = self._state.columns.slot(node) if node else None
            decision = decide(cycle, self._ids, nominated=nominated)
            if decision.slot is not None:
                return decision, None
            explanation, victims = self._preempting.attempt(cycle, decision)
        return Decision(None, explanation), victims

    async def _refuse(
        self, obj: Obj, facts: PodFacts, message: str, victims: Candidate | None
    ) -> None:
        await self._report(obj, message, nominated=self._preempting.nominees.node_of(facts.uid))
        if victims is None:
            return
        try:
            await self._preempting.carry_out(facts, victims, scheduler=self.name)
        except errors.ApiError as error:
            log.info("making room for %s on %s: %s", facts.key, victims.node, error)
            self._preempting.nominees.remove(facts.uid)
            self._wake(ClusterEvent.POD_GONE)

    async def _carry_out(self, placement: _Placement, obj: Obj) -> None:
        try:
            await self._bind(placement, obj)
        except errors.ApiError as error:
            log.info("binding %s to %s: %s", placement.facts.key, placement.node, error)
            if await binding.is_bound(self._client, placement.facts, placement.node):
                self._queue.remove(placement.waiting.uid)
            else:
                self._forget(placement, gone=binding.is_final(error))
        except binding.VolumesFailed as error:
            self._forget(placement, gone=False)
            message = f'running PreBind plugin "VolumeBinding": binding volumes: {error}'
            await self._report(obj, message)
        finally:
            self._bindings.release()

    async def _bind(self, placement: _Placement, obj: Obj) -> None:
        if placement.volumes.bind or placement.volumes.provision:
            await self._volume_binder.bind(placement.volumes, placement.node)
        await binding.bind_pod(self._client, placement.facts, placement.node)
        self._queue.remove(placement.waiting.uid)
        message = f"Successfully assigned {placement.facts.key} to {placement.node}"
        self._events.emit(obj, "Normal", "Scheduled", message)

    def _forget(self, placement: _Placement, *, gone: bool) -> None:
        """Take an assumption back: the room is free again and the pod waits again."""
        uid = placement.waiting.uid
        if self._assumed.pop(uid, None) is not None:
            self._state.displace(uid)
        if gone:
            self._queue.remove(uid)
        else:
            self._queue.retry(placement.waiting, self._clock.monotonic())
        self._wake(ClusterEvent.POD_GONE)

    async def _report(self, obj: Obj, message: str, *, nominated: str = "") -> None:
        """Say on the pod why it has no node; written only when it says something new."""
        self._events.emit(obj, "Warning", "FailedScheduling", message)
        current = condition(obj, "PodScheduled")
        renamed = nominated != (obj.get("status") or {}).get("nominatedNodeName", "")
        if current and current.get("message") == message and not renamed:
            return
        now = format_time(self._clock.now())
        same = current is not None and current["status"] == "False"
        since = current.get("lastTransitionTime") if current and same else now
        update = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": since or now,
            "observedGeneration": obj["metadata"].get("generation"),
        }
        status: Obj = {"conditions": [update]}
        if renamed:
            status["nominatedNodeName"] = nominated or None
        patch = {"metadata": {"uid": uid_of(obj)}, "status": status}
        await self._write_status(obj, patch)

    async def _write_status(self, obj: Obj, patch: Obj) -> None:
        for attempt in range(REPORT_ATTEMPTS):
            try:
                await self._client.patch(
                    "pods",
                    name_of(obj),
                    patch,
                    namespace=obj["metadata"]["namespace"],
                    patch_type=PatchType.STRATEGIC,
                    subresource="status",
                )
            except (errors.InternalError, errors.ServiceUnavailable) as error:
                log.debug("reporting on %s: %s", name_of(obj), error)
                await asyncio.sleep(REPORT_RETRY_SECONDS * 2**attempt)
            except errors.ApiError as error:
                # The pod is gone or another one: the next look at the cache settles it.
                log.debug("reporting on %s: %s", name_of(obj), error)
                return
            else:
                return

    def _remember(self, uid: str, decision: Decision) -> None:
        self.explanations[uid] = decision.explanation
        self.explanations.move_to_end(uid)
        if len(self.explanations) > EXPLANATIONS_MAX:
            self.explanations.popitem(last=False)

    def _is_ours(self, obj: Obj) -> bool:
        """Whether a pod waits for this scheduler; gated pods wait for their gates."""
        spec = obj["spec"]
        return (
            not spec.get("nodeName")
            and (spec.get("schedulerName") or NAME) == self.name
            and not spec.get("schedulingGates")
            and not is_deleting(obj)
            and not is_finished(obj)
        )

    def _namespaces(self) -> dict[str, dict[str, str]]:
        return {name_of(n): dict(labels_of(n)) for n in self._cache.list("namespaces")}

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            if old is not None:
                self._state.remove_node(name_of(old))
            return
        self._state.set_node(columns.facts_of(new))
        self._wake(ClusterEvent.NODE_ADDED if old is None else ClusterEvent.NODE_CHANGED)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or is_finished(new):
            if old is not None or new is not None:
                self._pod_gone(uid_of(new or old or {}))
            return
        uid = uid_of(new)
        if new["spec"].get("nodeName"):
            self._queue.remove(uid)
            self._preempting.nominees.remove(uid)
            self._assumed.pop(uid, None)
            self._pod_on_node(old, new)
        elif self._is_ours(new):
            self._nominate(old, new)
            if uid not in self._assumed:
                key = Key(new["metadata"]["namespace"], name_of(new))
                self._queue.add(
                    key,
                    uid,
                    priority=new["spec"].get("priority") or 0,
                    now=self._clock.monotonic(),
                )
                self._wakeup.set()
        else:
            self._queue.remove(uid)
            self._preempting.nominees.remove(uid)

    def _nominate(self, old: Obj | None, new: Obj) -> None:
        """Take over a nomination that stands on the pod: our own, from before a restart too."""
        before = ((old or {}).get("status") or {}).get("nominatedNodeName", "")
        node = (new.get("status") or {}).get("nominatedNodeName", "")
        if node == before or uid_of(new) in self._assumed:
            return
        if node:
            self._preempting.nominees.set(pod.facts_of(new), node)
        else:
            self._preempting.nominees.remove(uid_of(new))

    def _pod_on_node(self, old: Obj | None, new: Obj) -> None:
        """Count a pod where it is. Status updates, the bulk of all events, change nothing here."""
        uid, node = uid_of(new), new["spec"]["nodeName"]
        unchanged = (
            old is not None
            and self._state.node_of(uid) == node
            and old["spec"] == new["spec"]
            and labels_of(old) == labels_of(new)
        )
        if unchanged:
            return
        if not self._is_as_assumed(old, new):
            self._state.place(pod.facts_of(new), node)
        self._wake(ClusterEvent.POD_PLACED)

    def _is_as_assumed(self, old: Obj | None, new: Obj) -> bool:
        """Is this our own binding, of a pod that is counted there already?"""
        node = new["spec"]["nodeName"]
        return (
            old is not None
            and self._state.node_of(uid_of(new)) == node
            and {**old["spec"], "nodeName": node} == new["spec"]
            and labels_of(old) == labels_of(new)
        )

    def _pod_gone(self, uid: str) -> None:
        self._queue.remove(uid)
        self._preempting.nominees.remove(uid)
        self._assumed.pop(uid, None)
        if self._state.node_of(uid) is not None:
            self._state.displace(uid)
            self._wake(ClusterEvent.POD_GONE)

    def _storage_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._wake(ClusterEvent.STORAGE_CHANGED)

    def _wake(self, event: ClusterEvent) -> None:
        self._queue.wake(event, self._clock.monotonic())
        self._wakeup.set()
