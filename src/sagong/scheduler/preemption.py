"""Which pods of lower priority would have to go so that a pod fits: choosing node and victims.

Pure but for the state, on which removals are tried out and taken back before returning; nothing
here waits, so nobody sees it in between. Semantics: upstream's ``framework/preemption`` and
``plugins/defaultpreemption``.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from sagong.api.meta import namespace_of
from sagong.api.selectors import Selector, selector_from_object
from sagong.api.types import Obj
from sagong.core.ids import Ids
from sagong.scheduler.columns import Mask, Slot
from sagong.scheduler.evaluation import refusals_at
from sagong.scheduler.filters import node_resources_fit
from sagong.scheduler.plugin import Cycle, Filter, PodRefused, Scope
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.profile import Profile
from sagong.scheduler.state import State

NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
# Upstream's bounds on how many candidates are compared: a tenth of the nodes, at least a hundred.
CANDIDATES_MIN = 100
CANDIDATES_PERCENT = 10
# Added to a priority so that sums of negative ones grow with the number of victims too.
_OFFSET = 1 << 31

# When a pod started, as a sortable timestamp; later than all others if it has not.
StartOf = Callable[[PodFacts], str]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a PodDisruptionBudget allows."""

    namespace: str
    selector: Selector | None  # None: selects nothing
    allowed: int
    disrupted: frozenset[str]  # names of pods whose eviction is counted already


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node, and the pods that must go from it; the most important first."""

    slot: Slot
    node: str
    victims: tuple[PodFacts, ...]
    violations: int  # how many of them a budget would have kept


@dataclass(frozen=True, slots=True)
class Attempt:
    """The best candidates first, or why no node is one."""

    candidates: Sequence[Candidate]
    # Upstream's words -> how many of the nodes where eviction might have helped.
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def chosen(self) -> Candidate | None:
        return self.candidates[0] if self.candidates else None


def budget_of(obj: Obj) -> Budget:
    status = obj.get("status") or {}
    wanted = obj["spec"].get("selector") or {}
    empty = not wanted.get("matchLabels") and not wanted.get("matchExpressions")
    return Budget(
        namespace=namespace_of(obj),
        selector=None if empty else selector_from_object(wanted),
        allowed=int(status.get("disruptionsAllowed") or 0),
        disrupted=frozenset(status.get("disruptedPods") or ()),
    )


@dataclass(frozen=True, slots=True)
class Search:
    """Everything that looking for victims needs besides the pod."""

    profile: Profile
    budgets: Sequence[Budget]
    start_of: StartOf

    def enough(self, nodes: int) -> int:
        """How many candidates are compared at most."""
        arguments = self.profile.preemption_arguments
        percent = int(arguments.get("minCandidateNodesPercentage", CANDIDATES_PERCENT))
        least = int(arguments.get("minCandidateNodesAbsolute", CANDIDATES_MIN))
        return max(1, min(nodes, max(nodes * percent // 100, least)))

    def importance(self, pod: PodFacts) -> tuple[int, str]:
        """Sorts the more important first: by priority, then who has run for longer."""
        return -pod.priority, self.start_of(pod)


def find_victims(search: Search, cycle: Cycle, evictable: Mask, ids: Ids) -> Attempt:
    """Hold the pod against every node that eviction may help; the choice is upstream's."""
    reasons: Counter[str] = Counter()
    candidates: list[Candidate] = []
    slots = cycle.state.slots(evictable)
    enough = search.enough(len(cycle.state.columns))
    offset = int(ids.random() * len(slots))
    trial = _trial_of(search, cycle)
    for slot in (*slots[offset:], *slots[:offset]):
        found = trial.candidate(slot)
        if isinstance(found, Candidate):
            candidates.append(found)
            if len(candidates) >= enough:
                break
        else:
            reasons.update(found)
    candidates.sort(key=lambda c: _cost(c, search.start_of))
    return Attempt(candidates, reasons)


def _cost(candidate: Candidate, start_of: StartOf) -> tuple[int, int, int, int, "_Latest"]:
    """Smaller is better: broken budgets, highest priority, their sum, their number, age."""
    priorities = [victim.priority for victim in candidate.victims]
    if not priorities:  # an extender let all of them stay
        return 0, -_OFFSET, 0, 0, _Latest("")
    highest = max(priorities)
    starts = [start_of(v) for v in candidate.victims if v.priority == highest]
    total = sum(priority + _OFFSET for priority in priorities)
    return candidate.violations, highest, total, len(priorities), _Latest(min(starts))


@dataclass(frozen=True, slots=True)
class _Latest:
    """Orders timestamps backwards."""

    time: str

    def __lt__(self, other: "_Latest") -> bool:
        return self.time > other.time


class _Trial:
    """Finds the fewest and least important pods that make room, by trying them out."""

    def __init__(self, search: Search, cycle: Cycle) -> None:
        self.search = search
        self.cycle = cycle

    def candidate(self, slot: Slot) -> Candidate | list[str]:
        """Node and victims, or why there are none."""
        node = self.cycle.state.columns.names[slot]
        priority = self.cycle.pod.priority
        lower = [p for p in self.cycle.state.pods_on(node) if p.priority < priority]
        if not lower:
            return [NO_VICTIMS]
        lower.sort(key=self.search.importance)
        violating, others = _by_budget(lower, self.search.budgets)
        with self.emptied(slot, lower):
            refused = self.refusals(slot)
            if refused:
                return refused
            victims = []
            violations = 0
            for pod in (*violating, *others):
                self.put_back(slot, pod)
                if self.refusals(slot):
                    self.take_away(slot, pod)
                    victims.append(pod)
                    violations += pod in violating
        if not victims:
            return [NO_VICTIMS]
        victims.sort(key=self.search.importance)
        return Candidate(slot, node, tuple(victims), violations)

    @contextmanager
    def emptied(self, slot: Slot, pods: Sequence[PodFacts]) -> Iterator[None]:
        """The state without some pods of a node, while the block runs."""
        state, node = self.cycle.state, self.cycle.state.columns.names[slot]
        for pod in pods:
            state.displace(pod.uid)
        try:
            yield
        finally:
            for pod in pods:
                state.place(pod, node)

    def put_back(self, slot: Slot, pod: PodFacts) -> None:
        self.cycle.state.place(pod, self.cycle.state.columns.names[slot])

    def take_away(self, slot: Slot, pod: PodFacts) -> None:
        self.cycle.state.displace(pod.uid)

    def refusals(self, slot: Slot) -> list[str]:
        try:
            return refusals_at(self.search.profile.filters, self.cycle, slot)
        except PodRefused as refused:
            return [refused.reason]


class _ResourceTrial(_Trial):
    """The same by sums alone, for pods that nothing but resources can keep off a node."""

    def __init__(self, search: Search, cycle: Cycle) -> None:
        super().__init__(search, cycle)
        columns = cycle.state.columns
        self._wanted = {r: n for r, n in cycle.template.requests.items() if n}
        free = {r: columns.allocatable(r) - columns.requested(r) for r in self._wanted}
        self._columns = [(r, wanted, free[r]) for r, wanted in self._wanted.items()]
        self._free: dict[str, int] = {}

    @contextmanager
    def emptied(self, slot: Slot, pods: Sequence[PodFacts]) -> Iterator[None]:
        self._free = {r: int(free[slot]) for r, _, free in self._columns}
        for pod in pods:
            self.take_away(slot, pod)
        yield

    def put_back(self, slot: Slot, pod: PodFacts) -> None:
        for resource in self._free:
            self._free[resource] -= pod.requests.get(resource, 0)

    def take_away(self, slot: Slot, pod: PodFacts) -> None:
        for resource in self._free:
            self._free[resource] += pod.requests.get(resource, 0)

    def refusals(self, slot: Slot) -> list[str]:
        # Which resources, upstream's words, are said only of nodes that stay too small.
        return [
            node_resources_fit.reason_of(resource)
            for resource, wanted, _ in self._columns
            if self._free[resource] < wanted
        ]


def _trial_of(search: Search, cycle: Cycle) -> _Trial:
    """Sums will do if no filter but that for resources looks at pods and has anything to say."""
    if any(f.name == node_resources_fit.NAME for f in search.profile.filters):
        others = [f for f in search.profile.filters if f.scope is not Scope.NODES]
        others = [f for f in others if f.name != node_resources_fit.NAME]
        ignores = search.profile.fit_ignores
        if not ignores and all(_is_silent(f, cycle) for f in others):
            return _ResourceTrial(search, cycle)
    return _Trial(search, cycle)


def _is_silent(plugin: Filter, cycle: Cycle) -> bool:
    try:
        return not plugin.refuse(cycle, np.zeros(0, np.intp))
    except PodRefused:
        return False


def _by_budget(
    pods: Sequence[PodFacts], budgets: Sequence[Budget]
) -> tuple[list[PodFacts], list[PodFacts]]:
    """Pods whose eviction would break a budget, and the others; both in their order."""
    if not budgets:
        return [], list(pods)
    left = [budget.allowed for budget in budgets]
    violating: list[PodFacts] = []
    others: list[PodFacts] = []
    for pod in pods:
        breaks = False
        for index, budget in enumerate(budgets):
            if _covers(budget, pod):
                left[index] -= 1
                breaks = breaks or left[index] < 0
        (violating if breaks else others).append(pod)
    return violating, others


def _covers(budget: Budget, pod: PodFacts) -> bool:
    return (
        budget.namespace == pod.key.namespace
        and budget.selector is not None
        and bool(pod.labels)
        and budget.selector.matches(pod.labels)
        and pod.key.name not in budget.disrupted
    )


class Nominees:
    """Pods that wait for victims to go. They count on the nodes where they are expected."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_uid: dict[str, tuple[PodFacts, str]] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def set(self, pod: PodFacts, node: str) -> None:
        self._by_uid[pod.uid] = (pod, node)
        self._state.place(pod, node)

    def remove(self, uid: str) -> None:
        if self._by_uid.pop(uid, None) is not None:
            self._state.displace(uid)

    def node_of(self, uid: str) -> str:
        """Where a pod is expected, or ""."""
        found = self._by_uid.get(uid)
        return found[1] if found else ""

    def outranked(self, pod: PodFacts, node: str) -> list[PodFacts]:
        """Those of lower priority that are expected on a node; they had better look elsewhere."""
        return [
            nominee
            for nominee, where in self._by_uid.values()
            if where == node and nominee.priority < pod.priority
        ]

    @contextmanager
    def as_seen_by(self, pod: PodFacts, *, none: bool = False) -> Iterator[None]:
        """The state without those whom a pod need not respect: itself and lower priorities.

        With ``none``, without any of them.
        """
        hidden = [
            (nominee, node)
            for nominee, node in self._by_uid.values()
            if none or nominee.uid == pod.uid or nominee.priority < pod.priority
        ]
        for nominee, _ in hidden:
            self._state.displace(nominee.uid)
        try:
            yield
        finally:
            for nominee, node in hidden:
                self._state.place(nominee, node)
