"""Which pods of lower priority would have to go so that a pod fits: choosing node and victims.

Pure but for the state, on which removals are tried out and taken back before returning; nothing
here waits, so nobody sees it in between. Semantics: upstream's ``framework/preemption`` and
``plugins/defaultpreemption``.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sagong.api.meta import namespace_of
from sagong.api.selectors import Selector, selector_from_object
from sagong.api.types import Obj
from sagong.core.ids import Ids
from sagong.scheduler.columns import Mask, Slot
from sagong.scheduler.plugin import Cycle, PodRefused
from sagong.scheduler.pod import PodFacts
from sagong.scheduler.state import State
from sagong.scheduler.table import FILTERS

NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
# Upstream's bounds on how many candidates are compared: a tenth of the nodes, at least a hundred.
CANDIDATES_MIN = 100
CANDIDATES_SHARE = 10
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
    """The best candidate, or why no node is one."""

    chosen: Candidate | None
    # Upstream's words -> how many of the nodes where eviction might have helped.
    reasons: Mapping[str, int] = field(default_factory=dict)


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


def never_preempts(pod: PodFacts) -> bool:
    return pod.spec.get("preemptionPolicy") == "Never"


def find_victims(
    cycle: Cycle, evictable: Mask, budgets: Sequence[Budget], start_of: StartOf, ids: Ids
) -> Attempt:
    """Hold the pod against every node that eviction may help; the choice is upstream's."""
    reasons: Counter[str] = Counter()
    candidates: list[Candidate] = []
    slots = cycle.state.slots(evictable)
    enough = max(CANDIDATES_MIN, len(cycle.state.columns) // CANDIDATES_SHARE)
    offset = int(ids.random() * len(slots))
    for slot in (*slots[offset:], *slots[:offset]):
        found = _candidate(cycle, slot, budgets, start_of)
        if isinstance(found, Candidate):
            candidates.append(found)
            if len(candidates) >= enough:
                break
        else:
            reasons.update(found)
    if not candidates:
        return Attempt(None, reasons)
    return Attempt(min(candidates, key=lambda c: _cost(c, start_of)))


def _cost(candidate: Candidate, start_of: StartOf) -> tuple[int, int, int, int, "_Latest"]:
    """Smaller is better: broken budgets, highest priority, their sum, their number, age."""
    priorities = [victim.priority for victim in candidate.victims]
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


def _candidate(
    cycle: Cycle, slot: Slot, budgets: Sequence[Budget], start_of: StartOf
) -> Candidate | list[str]:
    """The fewest and least important pods that make room on a node, or why there is none."""
    state, node = cycle.state, cycle.state.columns.names[slot]
    lower = [p for p in state.pods_on(node) if p.priority < cycle.pod.priority]
    if not lower:
        return [NO_VICTIMS]
    lower.sort(key=lambda p: (-p.priority, start_of(p)))
    with _without(state, lower, node):
        refused = refusals(cycle, slot)
        if refused:
            return refused
        violating, others = _by_budget(lower, budgets)
        victims = []
        violations = 0
        for pod in (*violating, *others):
            state.place(pod, node)
            if refusals(cycle, slot):
                state.displace(pod.uid)
                victims.append(pod)
                violations += pod in violating
    if not victims:
        return [NO_VICTIMS]
    victims.sort(key=lambda p: (-p.priority, start_of(p)))
    return Candidate(slot, node, tuple(victims), violations)


@contextmanager
def _without(state: State, pods: Sequence[PodFacts], node: str) -> Iterator[None]:
    """The state without some pods of a node, while the block runs."""
    for pod in pods:
        state.displace(pod.uid)
    try:
        yield
    finally:
        for pod in pods:
            state.place(pod, node)


@contextmanager
def with_pods(state: State, nominees: Sequence[tuple[PodFacts, str]]) -> Iterator[None]:
    """The state with pods that are expected on their nodes, while the block runs."""
    for pod, node in nominees:
        state.place(pod, node)
    try:
        yield
    finally:
        for pod, _ in nominees:
            state.displace(pod.uid)


def refusals(cycle: Cycle, slot: Slot) -> list[str]:
    """The reasons of the first filter that refuses one node; none if the pod fits."""
    for plugin in FILTERS:
        try:
            found = [r.reason for r in plugin.refuse(cycle) if r.mask[slot]]
        except PodRefused as refused:
            return [refused.reason]
        if found:
            return found
    return []


def _by_budget(
    pods: Sequence[PodFacts], budgets: Sequence[Budget]
) -> tuple[list[PodFacts], list[PodFacts]]:
    """Pods whose eviction would break a budget, and the others; both in their order."""
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
    """Pods that wait for victims to go, and the nodes where they are expected."""

    def __init__(self) -> None:
        self._by_uid: dict[str, tuple[PodFacts, str]] = {}

    def set(self, pod: PodFacts, node: str) -> None:
        self._by_uid[pod.uid] = (pod, node)

    def remove(self, uid: str) -> None:
        self._by_uid.pop(uid, None)

    def node_of(self, uid: str) -> str:
        """Where a pod is expected, or ""."""
        found = self._by_uid.get(uid)
        return found[1] if found else ""

    def ahead_of(self, pod: PodFacts) -> list[tuple[PodFacts, str]]:
        """Those whose expectation a pod must respect: of no lower priority than its own."""
        return [
            (nominee, node)
            for uid, (nominee, node) in self._by_uid.items()
            if uid != pod.uid and nominee.priority >= pod.priority
        ]

    def outranked(self, pod: PodFacts, node: str) -> list[PodFacts]:
        """Those of lower priority that are expected on a node; they had better look elsewhere."""
        return [
            nominee
            for nominee, where in self._by_uid.values()
            if where == node and nominee.priority < pod.priority
        ]
