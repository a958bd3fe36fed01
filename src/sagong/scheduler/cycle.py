"""Deciding for one pod: filter all nodes, score those that are left, pick the best. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sagong.core.ids import Ids
from sagong.scheduler.columns import Mask, Slot
from sagong.scheduler.plugin import Cycle, PodRefused
from sagong.scheduler.table import FILTERS, SCORES


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a pod went where it went, or nowhere; kept for whoever asks."""

    nodes: int
    # Upstream's words for a refusal -> how many nodes; a node may be counted under several.
    reasons: Mapping[str, int] = field(default_factory=dict)
    # Which plugin refused how many nodes.
    refused_by: Mapping[str, int] = field(default_factory=dict)
    # How many refused nodes eviction could help with.
    evictable: int = 0
    # The chosen node's score by plugin, weights applied.
    scores: Mapping[str, int] = field(default_factory=dict)
    pod_reason: str = ""  # set when the pod was refused whatever the node
    # What became of preemption: victims were chosen; or why the pod may have none; or, of the
    # nodes where eviction might have helped, reasons and how many.
    preempts: bool = False
    ineligible: str = ""
    no_victims: Mapping[str, int] = field(default_factory=dict)

    def message(self) -> str:
        """The text of the PodScheduled condition and of the FailedScheduling event."""
        if self.nodes == 0:
            return "no nodes available to schedule pods"
        why = self.pod_reason or ", ".join(sorted(f"{n} {r}" for r, n in self.reasons.items()))
        found = f"0/{self.nodes} nodes are available: {why}."
        return found if self.preempts else f"{found} {self._after_filters()}"

    def _after_filters(self) -> str:
        if self.ineligible:
            return f"no new claims to deallocate, preemption: {self.ineligible}"
        helpless = self.nodes - self.evictable
        parts = [f"{count} {reason}" for reason, count in self.no_victims.items()]
        if helpless:
            parts.append(f"{helpless} Preemption is not helpful for scheduling")
        if self.evictable and not self.no_victims:
            parts.append(f"{self.evictable} No preemption victims found for incoming pod")
        nodes = f"preemption: 0/{self.nodes} nodes are available: {', '.join(sorted(parts))}."
        return f"no new claims to deallocate, {nodes}"


@dataclass(frozen=True, slots=True)
class Decision:
    """The chosen slot, or None."""

    slot: Slot | None
    explanation: Explanation
    evictable: Mask | None = None  # without a slot: the nodes where eviction could help


def decide(cycle: Cycle, ids: Ids, *, nominated: Slot | None = None) -> Decision:
    """Choose a node for a pod; ties are broken at random, as upstream does.

    A node that the pod was nominated for is taken if it fits, however others score.
    """
    total = len(cycle.state.columns)
    try:
        feasible, explanation, evictable = _filter(cycle)
    except PodRefused as refused:
        explanation = Explanation(
            nodes=total, refused_by={refused.plugin: total}, pod_reason=refused.reason
        )
        return Decision(None, explanation)
    if not feasible.any():
        return Decision(None, explanation, evictable)
    if nominated is not None and feasible[nominated]:
        return Decision(nominated, explanation)
    slot, scores = _best(cycle, feasible, ids)
    found = Explanation(
        nodes=total,
        reasons=explanation.reasons,
        refused_by=explanation.refused_by,
        evictable=explanation.evictable,
        scores=scores,
    )
    return Decision(slot, found)


def _filter(cycle: Cycle) -> tuple[Mask, Explanation, Mask]:
    """Which nodes are left, why the others are not, and which of those eviction could help.

    A node counts for the first filter that refuses it, under each of that filter's reasons.
    """
    remaining = cycle.state.columns.valid.copy()
    evictable = np.zeros_like(remaining)
    reasons: Counter[str] = Counter()
    refused_by: dict[str, int] = {}
    for plugin in FILTERS:
        # Most filters refuse no node: nothing is allocated for those.
        refused: Mask | None = None
        hopeless: Mask | None = None
        for refusal in plugin.refuse(cycle):
            here = refusal.mask & remaining
            count = int(np.count_nonzero(here))
            if not count:
                continue
            reasons[refusal.reason] += count
            refused = here if refused is None else refused | here
            if not refusal.evictable:
                hopeless = here if hopeless is None else hopeless | here
        if refused is not None:
            refused_by[plugin.name] = int(np.count_nonzero(refused))
            evictable |= refused if hopeless is None else refused & ~hopeless
            remaining &= ~refused
    explanation = Explanation(
        nodes=len(cycle.state.columns),
        reasons=reasons,
        refused_by=refused_by,
        evictable=int(np.count_nonzero(evictable)),
    )
    return remaining, explanation, evictable


def _best(cycle: Cycle, feasible: Mask, ids: Ids) -> tuple[Slot, Mapping[str, int]]:
    if int(np.count_nonzero(feasible)) == 1:
        return Slot(int(np.flatnonzero(feasible)[0])), {}
    total = np.zeros(len(feasible), np.int64)
    parts = {}
    for plugin in SCORES:
        scores = plugin.score(cycle, feasible)
        if scores is not None:
            parts[plugin.name] = plugin.weight * scores
            total += parts[plugin.name]
    total[~feasible] = -1
    best = np.flatnonzero(total == total.max())
    slot = Slot(int(best[int(ids.random() * len(best))]))
    return slot, {name: int(scores[slot]) for name, scores in parts.items()}
