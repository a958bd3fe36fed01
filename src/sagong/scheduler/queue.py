"""Pods that wait for a node: active, backing off, or unschedulable until something changes.

A synchronous state machine; the shell tells it the time. An unschedulable pod is woken only by a
happening that a plugin that refused it cares about (``hints``), or after five minutes, whichever
comes first. Pods that are alike and were refused alike are asked about together.
"""

import heapq
import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from sagong.api.types import Key
from sagong.scheduler.pod import PodFacts

BACKOFF_FIRST_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 10.0
# An event that nobody foresaw must not leave a pod behind for ever (upstream's same bound).
UNSCHEDULABLE_MAX_SECONDS = 300.0

# Whether what happened may help such a pod, refused by these plugins.
Helps = Callable[[PodFacts, frozenset[str]], bool]


@dataclass(slots=True, eq=False)
class Waiting:
    """One pod in the queue."""

    pod: PodFacts
    added_at: float
    attempts: int = 0
    refused_by: frozenset[str] = frozenset()
    parked_at: float = 0.0

    @property
    def key(self) -> Key:
        return self.pod.key

    @property
    def uid(self) -> str:
        return self.pod.uid

    @property
    def kin(self) -> Hashable:
        """Equal for pods that any happening helps alike."""
        pod = self.pod
        return (pod.template, pod.node_name, pod.claims, pod.resource_claims, self.refused_by)


class SchedulingQueue:
    """Priority first, then who came first."""

    def __init__(
        self,
        *,
        backoff_first_seconds: float = BACKOFF_FIRST_SECONDS,
        backoff_max_seconds: float = BACKOFF_MAX_SECONDS,
    ) -> None:
        self._first = backoff_first_seconds
        self._most = backoff_max_seconds
        self._known: dict[str, Waiting] = {}
        self._active: list[tuple[int, float, int, str]] = []
        # Due, order, uid; those that failed for reasons of their own must not be popped early.
        self._backing_off: list[tuple[float, int, str]] = []
        self._failed: list[tuple[float, int, str]] = []
        self._unschedulable: dict[Hashable, dict[str, Waiting]] = {}
        self._overdue: list[tuple[float, int, Waiting]] = []
        # Where each known pod is: the list it is in, so that stale heap entries are told apart.
        self._ticket: dict[str, int] = {}
        self._sequence = itertools.count(1)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, pod: PodFacts, now: float) -> None:
        """A pod without a node appeared, or changed while it waits."""
        waiting = self._known.get(pod.uid)
        if waiting is None:
            waiting = self._known[pod.uid] = Waiting(pod, now)
            self._activate(waiting)
            return
        if waiting.pod == pod:
            return  # Its status changed, most likely because we wrote it.
        parked = self._unpark(waiting)
        reordered = waiting.pod.priority != pod.priority
        waiting.pod = pod
        # Its own change (a toleration added, a smaller request) may be what was missing.
        if parked:
            self._retry(waiting, now)
        elif reordered and self._ticket.get(pod.uid):
            self._activate(waiting)

    def remove(self, uid: str) -> None:
        waiting = self._known.pop(uid, None)
        if waiting is not None:
            self._unpark(waiting)
            self._ticket.pop(uid, None)

    def pop(self, now: float) -> Waiting | None:
        """The next pod to be scheduled, if one is due."""
        self._wake_due(now)
        while self._active:
            _, _, ticket, uid = heapq.heappop(self._active)
            if self._ticket.get(uid) == ticket:
                return self._taken(uid)
        # Nothing better to do: who backs off may as well be tried now (KEP-5142).
        while self._backing_off:
            _, ticket, uid = heapq.heappop(self._backing_off)
            if self._ticket.get(uid) == ticket:
                return self._taken(uid)
        return None

    def park(self, waiting: Waiting, refused_by: frozenset[str], now: float) -> None:
        """No node was found: wait for something that concerns those who refused it."""
        if self._known.get(waiting.uid) is not waiting:
            return
        waiting.refused_by = refused_by
        waiting.parked_at = now
        self._unschedulable.setdefault(waiting.kin, {})[waiting.uid] = waiting
        deadline = (now + UNSCHEDULABLE_MAX_SECONDS, next(self._sequence), waiting)
        heapq.heappush(self._overdue, deadline)

    def retry(self, waiting: Waiting, now: float) -> None:
        """Something went wrong that had nothing to do with the pod: try again after a while."""
        if self._known.get(waiting.uid) is not waiting:
            return
        self._unpark(waiting)
        due = now + self._backoff_seconds(waiting)
        heapq.heappush(self._failed, (due, self._next_ticket(waiting), waiting.uid))

    def wake(self, helps: Helps, now: float) -> bool:
        """Let those pods try again that something may help; whether there are any."""
        woken = []
        for kin, members in self._unschedulable.items():
            one = next(iter(members.values()))
            if helps(one.pod, one.refused_by):
                woken.append(kin)
        for kin in woken:
            for waiting in self._unschedulable.pop(kin).values():
                self._retry(waiting, now)
        return bool(woken)

    def next_due(self) -> float | None:
        """When there may be something to pop again; None: not before something happens."""
        times = [heap[0][0] for heap in (self._failed, self._backing_off, self._overdue) if heap]
        return min(times, default=None)

    def has_active(self) -> bool:
        return bool(self._active or self._backing_off)

    def _backoff_seconds(self, waiting: Waiting) -> float:
        doubled = self._first * 2.0 ** min(max(waiting.attempts - 1, 0), 30)
        return float(min(doubled, self._most))

    def _taken(self, uid: str) -> Waiting:
        del self._ticket[uid]
        waiting = self._known[uid]
        waiting.attempts += 1
        return waiting

    def _next_ticket(self, waiting: Waiting) -> int:
        ticket = self._ticket[waiting.uid] = next(self._sequence)
        return ticket

    def _activate(self, waiting: Waiting) -> None:
        order = (-waiting.pod.priority, waiting.added_at, self._next_ticket(waiting), waiting.uid)
        heapq.heappush(self._active, order)

    def _retry(self, waiting: Waiting, now: float) -> None:
        due = waiting.parked_at + self._backoff_seconds(waiting)
        if due <= now:
            self._activate(waiting)
        else:
            heapq.heappush(self._backing_off, (due, self._next_ticket(waiting), waiting.uid))

    def _unpark(self, waiting: Waiting) -> bool:
        members = self._unschedulable.get(waiting.kin)
        if members is None or members.pop(waiting.uid, None) is None:
            return False
        if not members:
            del self._unschedulable[waiting.kin]
        return True

    def _wake_due(self, now: float) -> None:
        for heap in (self._failed, self._backing_off):
            while heap and heap[0][0] <= now:
                _, ticket, uid = heapq.heappop(heap)
                if self._ticket.get(uid) == ticket:
                    self._activate(self._known[uid])
        while self._overdue and self._overdue[0][0] <= now:
            deadline, _, waiting = heapq.heappop(self._overdue)
            current = waiting.parked_at + UNSCHEDULABLE_MAX_SECONDS <= deadline
            if current and self._known.get(waiting.uid) is waiting and self._unpark(waiting):
                self._activate(waiting)
