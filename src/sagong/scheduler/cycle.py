"""Deciding for one pod: filter all nodes, score those that are left, pick the best. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sagong.core.ids import Ids
from sagong.scheduler.columns import ALL, At, Ints, Mask, Slot
from sagong.scheduler.evaluation import NO_NODE, PASSES, Evaluation, Evaluations, Verdicts
from sagong.scheduler.filters import node_affinity
from sagong.scheduler.opinion import Opinion
from sagong.scheduler.plugin import Cycle, PodRefused, Refusal, Scope
from sagong.scheduler.profile import Profile

EXTENDER = "extender"
_REFUSED = "node(s) were refused by an extender"
_UNASKED = "node(s) came too late to be shown to an extender"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a pod found no node, in numbers; what the pod's condition says."""

    nodes: int
    # Upstream's words for a refusal -> how many nodes; a node may be counted under several.
    reasons: Mapping[str, int] = field(default_factory=dict)
    # Which plugin refused how many nodes.
    refused_by: Mapping[str, int] = field(default_factory=dict)
    # How many refused nodes eviction could help with.
    evictable: int = 0
    pod_reason: str = ""  # set when the pod was refused whatever the node
    # What became of preemption: victims were chosen; or why the pod may have none; or, of the
    # nodes where eviction might have helped, reasons and how many.
    preempts: bool = False
    ineligible: str = ""
    no_victims: Mapping[str, int] = field(default_factory=dict)
    asks_preemption: bool = True  # the profile has the plugin

    def message(self) -> str:
        """The text of the PodScheduled condition and of the FailedScheduling event."""
        if self.nodes == 0:
            return "no nodes available to schedule pods"
        why = self.pod_reason or ", ".join(sorted(f"{n} {r}" for r, n in self.reasons.items()))
        found = f"0/{self.nodes} nodes are available: {why}."
        return found if self.preempts else f"{found} {self._after_filters()}"

    def _after_filters(self) -> str:
        claims = "no new claims to deallocate"
        if not self.asks_preemption:
            return claims
        if self.ineligible:
            return f"{claims}, preemption: {self.ineligible}"
        helpless = self.nodes - self.evictable
        parts = [f"{count} {reason}" for reason, count in self.no_victims.items()]
        if helpless:
            parts.append(f"{helpless} Preemption is not helpful for scheduling")
        if self.evictable and not self.no_victims:
            parts.append(f"{self.evictable} No preemption victims found for incoming pod")
        nodes = f"preemption: 0/{self.nodes} nodes are available: {', '.join(sorted(parts))}."
        return f"{claims}, {nodes}"


@dataclass(frozen=True, slots=True)
class Filtered:
    """The nodes that are left for a pod, and what refused the others."""

    evaluation: Evaluation
    feasible: Mask
    # Of the filters that look at the whole cluster, by plugin.
    refusals: Sequence[tuple[str, Sequence[Refusal]]]
    local: Verdicts

    def verdicts(self) -> Verdicts:
        """For each slot asked about the first filter's verdict."""
        found = self.local.copy()
        for plugin, refusals in self.refusals:
            self.evaluation.table.enter(found, plugin, refusals)
        return found


@dataclass(frozen=True, slots=True)
class Outside:
    """What else a decision has to heed: extenders, and what is left in another state."""

    opinion: Opinion | None
    also: Filtered | None

    def left_of(self, cycle: Cycle, filtered: Filtered) -> Filtered:
        """Those of the nodes left that the others leave too."""
        if self.also is not None:
            both = filtered.feasible & self.also.feasible
            first = filtered if not filtered.feasible.any() else self.also
            filtered = replace(first if not both.any() else filtered, feasible=both)
        if self.opinion is None:
            return filtered
        refusals = self._refused(cycle, filtered, self.opinion)
        feasible = filtered.feasible
        for refusal in refusals:
            feasible = feasible & ~refusal.mask
        entry = (EXTENDER, refusals)
        return replace(filtered, feasible=feasible, refusals=[*filtered.refusals, entry])

    def scores(self, cycle: Cycle, filtered: Filtered) -> Ints | None:
        """The extenders' scores by slot asked about."""
        if self.opinion is None or not self.opinion.scores:
            return None
        names = _names(cycle, filtered)
        return np.array([self.opinion.scores.get(name, 0) for name in names], np.int64)

    def _refused(self, cycle: Cycle, filtered: Filtered, opinion: Opinion) -> list[Refusal]:
        names = _names(cycle, filtered)
        refused = [n for n in names if n and n not in opinion.allowed]
        told = opinion.failed | opinion.hopeless if refused else {}
        by_reason: dict[tuple[str, bool], set[str]] = {}
        for name in refused:
            reason = told.get(name, _UNASKED if name not in opinion.asked else _REFUSED)
            helpful = name in opinion.failed and name not in opinion.hopeless
            by_reason.setdefault((reason, helpful), set()).add(name)
        return [
            Refusal(reason, np.array([n in among for n in names], np.bool_), helpful)
            for (reason, helpful), among in by_reason.items()
        ]


def _names(cycle: Cycle, filtered: Filtered) -> list[str]:
    names, at = cycle.state.columns.names, filtered.evaluation.at
    return list(names) if isinstance(at, slice) else [names[int(slot)] for slot in at]


@dataclass(frozen=True, slots=True)
class Decision:
    """The chosen slot, or None."""

    slot: Slot | None
    nodes: int
    explanation: Explanation | None = None  # without a slot
    evictable: Mask | None = None  # without a slot: the nodes where eviction could help
    scores: Mapping[str, int] = field(default_factory=dict)  # the chosen node's, weights applied
    ties: int = 1  # how many nodes scored as high
    filtered: Filtered | None = None

    def why(self) -> Explanation:
        assert self.explanation is not None
        return self.explanation


@dataclass(slots=True)
class Decider:
    """Decides by profiles; keeps what alike pods share."""

    ids: Ids
    evaluations: Evaluations = field(default_factory=Evaluations)

    def decide(
        self,
        profile: Profile,
        cycle: Cycle,
        *,
        nominated: Slot | None = None,
        outside: Outside | None = None,
    ) -> Decision:
        """Choose a node for a pod; ties are broken at random, as upstream does.

        A node that the pod was nominated for is taken if it fits, however others score.
        """
        total = len(cycle.state.columns)
        try:
            filtered = self.filter(profile, cycle)
        except PodRefused as refused:
            return refused_by(profile, cycle, refused)
        extra = None
        if outside is not None:
            filtered = outside.left_of(cycle, filtered)
            extra = outside.scores(cycle, filtered)
        if not filtered.feasible.any():
            return unplaced(profile, cycle, filtered)
        if nominated is not None and nominated in slots_of(filtered):
            return Decision(nominated, total, filtered=filtered)
        return self.choose(profile, cycle, filtered, extra)

    def filter(self, profile: Profile, cycle: Cycle) -> Filtered:
        """Which nodes are left. Raises PodRefused."""
        evaluation = self._evaluation(profile, cycle)
        cycle = evaluation.cycle(cycle)
        feasible = evaluation.passing
        refusals = []
        for plugin in profile.cluster_filters:
            found = plugin.refuse(cycle, evaluation.at)
            if found:
                refusals.append((plugin.name, found))
                for refusal in found:
                    feasible = feasible & ~refusal.mask
        return Filtered(evaluation, feasible, refusals, evaluation.verdicts.copy())

    def choose(
        self, profile: Profile, cycle: Cycle, filtered: Filtered, extra: Ints | None = None
    ) -> Decision:
        """The best of the nodes that are left; ``extra`` are scores from elsewhere."""
        evaluation, feasible = filtered.evaluation, filtered.feasible
        total = len(cycle.state.columns)
        places = np.flatnonzero(feasible)
        if len(places) == 1:
            return Decision(_slot(evaluation.at, int(places[0])), total, filtered=filtered)
        cycle = evaluation.cycle(cycle)
        compared = _compared(profile, cycle, evaluation, feasible)
        scores = evaluation.totals
        for part in compared.values():
            scores = scores + part
        if extra is not None:
            scores = scores + extra
        scores = np.where(feasible, scores, -1)
        best = np.flatnonzero(scores == scores.max())
        place = int(best[int(self.ids.random() * len(best))])
        slot = _slot(evaluation.at, place)
        found = evaluation.local_scores(cycle, slot, place)
        found |= {name: int(part[place]) for name, part in compared.items()}
        return Decision(slot, total, scores=found, ties=len(best), filtered=filtered)

    def _evaluation(self, profile: Profile, cycle: Cycle) -> Evaluation:
        names = None
        if cycle.template.affinity and any(f.name == node_affinity.NAME for f in profile.filters):
            names = node_affinity.only_nodes(cycle.template)
        if names is None:
            return self.evaluations.of(profile, cycle)
        if not names:
            raise PodRefused(node_affinity.CONFLICT, plugin=node_affinity.NAME)
        # Only the nodes that the pod names are looked at, as daemons' pods have it.
        slots = (cycle.state.columns.slot(name) for name in names)
        at = np.array(sorted(s for s in slots if s is not None), np.intp)
        return Evaluation(profile, cycle, self.evaluations.table, at)


def _compared(
    profile: Profile, cycle: Cycle, evaluation: Evaluation, feasible: Mask
) -> dict[str, Ints]:
    """Scores that depend on which nodes are feasible, weights applied."""
    found: dict[str, Ints] = {}
    for varying in evaluation.varying:
        normalize = varying.score.normalize
        assert normalize is not None
        found[varying.score.name] = varying.weight * normalize(varying.raw, feasible)
    for score, weight in profile.scores:
        if score.scope is not Scope.CLUSTER:
            continue
        raw = score.raw(cycle, evaluation.at, feasible)
        if raw is not None:
            normal = raw if score.normalize is None else score.normalize(raw, feasible)
            found[score.name] = weight * normal
    return found


def _slot(at: At, place: int) -> Slot:
    return Slot(place if isinstance(at, slice) else int(at[place]))


def slots_of(filtered: Filtered) -> list[Slot]:
    """The slots that are left."""
    return [_slot(filtered.evaluation.at, int(p)) for p in np.flatnonzero(filtered.feasible)]


def refused_by(profile: Profile, cycle: Cycle, refused: PodRefused) -> Decision:
    total = len(cycle.state.columns)
    explanation = Explanation(
        nodes=total,
        refused_by={refused.plugin: total},
        pod_reason=refused.reason,
        asks_preemption=profile.preempts,
    )
    return Decision(None, total, explanation)


def unplaced(profile: Profile, cycle: Cycle, filtered: Filtered) -> Decision:
    """Why no node is left, and where eviction could help."""
    total, table = len(cycle.state.columns), filtered.evaluation.table
    verdicts = filtered.verdicts()
    codes, counts = np.unique(verdicts, return_counts=True)
    reasons: Counter[str] = Counter()
    refusers: Counter[str] = Counter()
    helped = []
    for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
        if code in (PASSES, NO_NODE):
            continue
        verdict = table[code]
        refusers[verdict.plugin] += count
        for reason in verdict.reasons:
            reasons[reason] += count
        if verdict.evictable:
            helped.append(code)
    evictable = np.isin(verdicts, helped)
    at = filtered.evaluation.at
    if at is not ALL:
        absent = total - len(verdicts)
        if absent:
            reasons[f"node(s) didn't satisfy plugin(s) [{node_affinity.NAME}]"] += absent
            refusers[node_affinity.NAME] += absent
        everywhere = np.zeros(cycle.state.columns.size, np.bool_)
        everywhere[at] = evictable
        evictable = everywhere
    explanation = Explanation(
        nodes=total,
        reasons=reasons,
        refused_by=refusers,
        evictable=int(np.count_nonzero(evictable)),
        asks_preemption=profile.preempts,
    )
    return Decision(None, total, explanation, evictable, filtered=filtered)
