"""Pods that wait for a node: active, backing off, or unschedulable until something changes.

A synchronous state machine; the shell tells it the time. An unschedulable pod is woken only by an
event that a plugin that refused it cares about, or after five minutes, whichever comes first.
"""

import heapq
import itertools
from dataclasses import dataclass
from enum import Enum

from sagong.api.types import Key

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 10.0
# An event that nobody foresaw must not leave a pod behind for ever (upstream's same bound).
UNSCHEDULABLE_MAX_SECONDS = 300.0


class ClusterEvent(Enum):
    """What changed, as far as it can make a pod schedulable."""

    NODE_ADDED = "node added"
    NODE_CHANGED = "node changed"
    POD_GONE = "pod gone"
    POD_PLACED = "pod placed"
    STORAGE_CHANGED = "storage changed"


_ANY_NODE = frozenset({ClusterEvent.NODE_ADDED, ClusterEvent.NODE_CHANGED})
# Which events can change a plugin's mind.
WAKES = {
    "NodeUnschedulable": _ANY_NODE,
    "NodeName": _ANY_NODE,
    "TaintToleration": _ANY_NODE,
    "NodeAffinity": _ANY_NODE,
    "NodePorts": _ANY_NODE | {ClusterEvent.POD_GONE},
    "NodeResourcesFit": _ANY_NODE | {ClusterEvent.POD_GONE},
    "VolumeBinding": _ANY_NODE | {ClusterEvent.STORAGE_CHANGED},
    "PodTopologySpread": _ANY_NODE | {ClusterEvent.POD_GONE, ClusterEvent.POD_PLACED},
    "InterPodAffinity": _ANY_NODE | {ClusterEvent.POD_GONE, ClusterEvent.POD_PLACED},
}


@dataclass(slots=True)
class Waiting:
    """One pod in the queue."""

    key: Key
    uid: str
    priority: int
    added_at: float
    attempts: int = 0
    refused_by: frozenset[str] = frozenset()
    parked_at: float = 0.0

    def backoff_seconds(self) -> float:
        doubled = BACKOFF_FIRST_SECONDS * 2.0 ** min(max(self.attempts - 1, 0), 30)
        return float(min(doubled, BACKOFF_MAX_SECONDS))


class SchedulingQueue:
    """Priority first, then who came first."""

    def __init__(self) -> None:
        self._known: dict[str, Waiting] = {}
        self._active: list[tuple[int, float, int, str]] = []
        self._backing_off: list[tuple[float, int, str]] = []
        self._unschedulable: dict[str, Waiting] = {}
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: Key, uid: str, *, priority: int, now: float) -> None:
        """A pod without a node appeared, or changed while it waits."""
        waiting = self._known.get(uid)
        if waiting is None:
            waiting = self._known[uid] = Waiting(key, uid, priority, now)
            self._activate(waiting)
        elif uid in self._unschedulable:
            # Its own change (a gate removed, a toleration added) may be what was missing.
            waiting.priority = priority
            self._retry(self._unschedulable.pop(uid), now)

    def remove(self, uid: str) -> None:
        self._known.pop(uid, None)
        self._unschedulable.pop(uid, None)

    def pop(self, now: float) -> Waiting | None:
        """The next pod to be scheduled, if one is due."""
        self._wake_due(now)
        while self._active:
            waiting = self._known.get(heapq.heappop(self._active)[3])
            if waiting is not None:
                waiting.attempts += 1
                return waiting
        return None

    def park(self, waiting: Waiting, refused_by: frozenset[str], now: float) -> None:
        """No node was found: wait for an event that concerns those who refused it."""
        if waiting.uid not in self._known:
            return
        waiting.refused_by = refused_by
        waiting.parked_at = now
        self._unschedulable[waiting.uid] = waiting

    def retry(self, waiting: Waiting, now: float) -> None:
        """Something went wrong that had nothing to do with the pod: try again after a while."""
        if waiting.uid in self._known:
            self._retry(waiting, now)

    def wake(self, event: ClusterEvent, now: float) -> None:
        """Let those pods try again that the event may help."""
        for uid, waiting in tuple(self._unschedulable.items()):
            concerned = not waiting.refused_by or any(
                event in WAKES.get(plugin, ()) for plugin in waiting.refused_by
            )
            if concerned:
                del self._unschedulable[uid]
                self._retry(waiting, now)

    def next_due(self) -> float | None:
        """When there may be something to pop again; None: not before an event."""
        times = [self._backing_off[0][0]] if self._backing_off else []
        times += [w.parked_at + UNSCHEDULABLE_MAX_SECONDS for w in self._unschedulable.values()]
        return min(times, default=None)

    def has_active(self) -> bool:
        return bool(self._active)

    def _activate(self, waiting: Waiting) -> None:
        order = (-waiting.priority, waiting.added_at, next(self._sequence), waiting.uid)
        heapq.heappush(self._active, order)

    def _retry(self, waiting: Waiting, now: float) -> None:
        due = (waiting.parked_at or now) + waiting.backoff_seconds()
        if due <= now:
            self._activate(waiting)
        else:
            heapq.heappush(self._backing_off, (due, next(self._sequence), waiting.uid))

    def _wake_due(self, now: float) -> None:
        while self._backing_off and self._backing_off[0][0] <= now:
            waiting = self._known.get(heapq.heappop(self._backing_off)[2])
            if waiting is not None and waiting.uid not in self._unschedulable:
                self._activate(waiting)
        for uid, waiting in tuple(self._unschedulable.items()):
            if waiting.parked_at + UNSCHEDULABLE_MAX_SECONDS <= now:
                del self._unschedulable[uid]
                self._activate(waiting)
