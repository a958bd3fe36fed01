"""What the cache says, taken over into the scheduler's state, queue and nominations.

Invariant: a pod that has been assumed on a node counts there until its binding is seen in the
cache or has failed, so no room is given away twice.
"""

from collections.abc import Callable, Mapping

from sagong.api.meta import is_deleting, labels_of, name_of, uid_of
from sagong.api.pods import is_finished
from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.ctl.informer import SharedCache
from sagong.scheduler import columns
from sagong.scheduler.devices.lookup import CLAIMS, CLASSES, SLICES, Devices
from sagong.scheduler.happenings import (
    DevicesChanged,
    Happening,
    NodeChanged,
    PodChanged,
    Storage,
    StorageChanged,
)
from sagong.scheduler.hints import helps
from sagong.scheduler.pod import DEFAULT_SCHEDULER, PodFacts, Templates
from sagong.scheduler.preemption import Nominees
from sagong.scheduler.queue import SchedulingQueue
from sagong.scheduler.state import ClaimKey, State
from sagong.scheduler.volumes import driver_of

RESOURCES = (
    "pods", "nodes", "namespaces", CLAIMS, SLICES, CLASSES, *(kind.value for kind in Storage),
)  # fmt: skip


class Watching:
    """Handlers for every resource that decisions depend on; nothing here waits."""

    def __init__(
        self,
        cache: SharedCache,
        clock: Clock,
        queue: SchedulingQueue,
        *,
        schedulers: frozenset[str],
        wakeup: Callable[[], None],
    ) -> None:
        self.state = State.empty(lambda: self._namespaces, self._driver_of)
        self.nominees = Nominees(self.state)
        self.templates = Templates()
        self.devices = Devices(cache)
        # Assumed pods by uid, until the cache shows them bound.
        self.assumed: dict[str, str] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._cache = cache
        self._clock = clock
        self._queue = queue
        self._schedulers = schedulers
        self._wakeup = wakeup
        for resource in RESOURCES:
            cache.declare(resource)
        cache.on_change("namespaces", self._namespace_changed)
        cache.on_change("nodes", self._node_changed)
        cache.on_change("pods", self._pod_changed)
        cache.on_change(SLICES, self._slices_changed)
        cache.on_change(CLAIMS, self._claim_changed)
        cache.on_change(CLASSES, self._class_changed)
        for kind in Storage:
            cache.on_change(kind.value, self._storage_handler(kind))

    def is_ours(self, obj: Obj) -> bool:
        """Whether a pod waits for this scheduler; gated pods wait for their gates."""
        spec = obj["spec"]
        return (
            not spec.get("nodeName")
            and (spec.get("schedulerName") or DEFAULT_SCHEDULER) in self._schedulers
            and not spec.get("schedulingGates")
            and not is_deleting(obj)
            and not is_finished(obj)
        )

    def happened(self, happening: Happening) -> None:
        """Let those pods try again that it may help."""
        terms = self.state.terms
        woken = self._queue.wake(
            lambda pod, refused_by: helps(pod, refused_by, happening, terms),
            self._clock.monotonic(),
        )
        if woken:
            self._wakeup()

    def assume(self, pod: PodFacts, node: str) -> None:
        """A pod is as good as placed."""
        self.nominees.remove(pod.uid)
        self.state.place(pod, node)
        self.assumed[pod.uid] = node

    def give_up(self, uid: str) -> None:
        """An assumption did not come true: the room is free again."""
        if self.assumed.pop(uid, None) is None:
            return
        pod = self.state.displace(uid)
        if pod is not None:
            self.happened(PodChanged(pod, None))

    def _driver_of(self, claim: ClaimKey) -> str:
        return driver_of(claim, self._cache)

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self._namespaces.pop(name_of(old or {}), None)
        elif old is None or labels_of(old) != labels_of(new):
            self._namespaces[name_of(new)] = labels_of(new)
        else:
            return
        self.state.terms.namespaces_changed()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        slot = self.state.columns.slot(name_of(new or old or {}))
        before = None if slot is None else self.state.columns.facts(slot)
        if new is None:
            if before is not None:
                self.state.remove_node(before.name)
                self.happened(NodeChanged(before, None))
            return
        after = columns.facts_of(new)
        if after != before:
            self.state.set_node(after)
            self.happened(NodeChanged(before, after))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or is_finished(new):
            if old is not None or new is not None:
                self._pod_gone(uid_of(new or old or {}))
            return
        uid = uid_of(new)
        if new["spec"].get("nodeName"):
            self._queue.remove(uid)
            self.nominees.remove(uid)
            self._pod_on_node(new)
        elif self.is_ours(new):
            if uid not in self.assumed:
                pod = self.templates.facts_of(new)
                self._nominate(old, new, pod)
                self._queue.add(pod, self._clock.monotonic())
                self._wakeup()
        else:
            self._queue.remove(uid)
            self.nominees.remove(uid)

    def _nominate(self, old: Obj | None, new: Obj, pod: PodFacts) -> None:
        """Take over a nomination that stands on the pod: our own, from before a restart too."""
        before = ((old or {}).get("status") or {}).get("nominatedNodeName", "")
        node = (new.get("status") or {}).get("nominatedNodeName", "")
        if node == before:
            return
        if node:
            self.nominees.set(pod, node)
        else:
            self.nominees.remove(pod.uid)

    def _pod_on_node(self, new: Obj) -> None:
        """Count a pod where it is. Status updates, the bulk of all events, change nothing here."""
        pod = self.templates.facts_of(new)
        node = pod.node_name
        assumed = self.assumed.pop(pod.uid, None)
        known = self.state.pod(pod.uid)
        moved = known is None or self.state.node_of(pod.uid) != node
        changed = (
            moved
            or known is None
            or known.template is not pod.template
            or known.terminating != pod.terminating
        )
        if changed:
            self.state.place(pod, node)
        if changed or assumed is not None:
            # Whom an assumed pod helps is asked when it is really there.
            self.happened(PodChanged(None if moved or assumed is not None else known, pod))

    def _pod_gone(self, uid: str) -> None:
        self._queue.remove(uid)
        self.nominees.remove(uid)
        self.assumed.pop(uid, None)
        pod = self.state.displace(uid)
        if pod is not None:
            self.happened(PodChanged(pod, None))

    def _slices_changed(self, old: Obj | None, new: Obj | None) -> None:
        self.devices.slices_changed()
        self.happened(DevicesChanged(SLICES, old, new))

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        self.devices.claim_changed(new)
        self.happened(DevicesChanged(CLAIMS, old, new))

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        self.happened(DevicesChanged(CLASSES, old, new))

    def _storage_handler(self, kind: Storage) -> Callable[[Obj | None, Obj | None], None]:
        def changed(old: Obj | None, new: Obj | None) -> None:
            if kind is Storage.NODE:
                self._limits_changed(old, new)
            self.happened(StorageChanged(kind, old, new))

        return changed

    def _limits_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            self.state.columns.remove_limits(name_of(old or {}))
            return
        drivers = (new.get("spec") or {}).get("drivers") or ()
        limits = {
            driver["name"]: int(driver["allocatable"]["count"])
            for driver in drivers
            if (driver.get("allocatable") or {}).get("count") is not None
        }
        self.state.columns.set_limits(name_of(new), limits)
