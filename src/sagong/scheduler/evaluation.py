"""One template held against all nodes by one profile, kept up to date as pods come and go.

Alike pods share an evaluation: after one of them is placed, only its node is computed again.
What depends on the whole cluster (affinity, spreading, volumes) is asked at every decision.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sagong.scheduler.columns import ALL, At, Ints, Mask, Slot
from sagong.scheduler.plugin import Cycle, Filter, Refusal, Scope, Score
from sagong.scheduler.pod import Template
from sagong.scheduler.profile import Profile

Verdicts = npt.NDArray[np.int16]

PASSES = 0  # no filter of those asked refuses the node
NO_NODE = 1  # the slot is free
# Evaluations kept; past it the least recently used is computed anew when it is needed.
EVALUATIONS_MAX = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a filter refuses a node."""

    plugin: str
    reasons: tuple[str, ...]
    evictable: bool


class VerdictTable:
    """Verdicts as small integers, so that one array holds those of all nodes."""

    def __init__(self) -> None:
        self._verdicts = [Verdict("", (), False), Verdict("", (), False)]
        self._codes: dict[Verdict, int] = {}

    def __getitem__(self, code: int) -> Verdict:
        return self._verdicts[code]

    def __len__(self) -> int:
        return len(self._verdicts)

    def code(self, verdict: Verdict) -> int:
        found = self._codes.get(verdict)
        if found is None:
            found = self._codes[verdict] = len(self._verdicts)
            self._verdicts.append(verdict)
        return found

    def enter(self, verdicts: Verdicts, plugin: str, refusals: Sequence[Refusal]) -> None:
        """Note the refusals of one filter for nodes that no earlier one has refused."""
        if len(refusals) == 1:
            refusal = refusals[0]
            code = self.code(Verdict(plugin, (refusal.reason,), refusal.evictable))
            verdicts[(verdicts == PASSES) & refusal.mask] = code
            return
        bits = np.zeros(len(verdicts), np.int64)
        for index, refusal in enumerate(refusals):
            bits |= refusal.mask.astype(np.int64) << index
        bits[verdicts != PASSES] = 0
        for combination in np.unique(bits[bits != 0]):
            chosen = [r for i, r in enumerate(refusals) if combination >> i & 1]
            reasons = tuple(r.reason for r in chosen)
            verdict = Verdict(plugin, reasons, all(r.evictable for r in chosen))
            verdicts[bits == combination] = self.code(verdict)


@dataclass(frozen=True, slots=True)
class _Varying:
    """A score that depends on nodes only, to be brought to 0..100 among the feasible ones."""

    score: Score
    weight: int
    raw: Ints


class Evaluation:
    """What is known about a template on the slots ``at``."""

    def __init__(self, profile: Profile, cycle: Cycle, table: VerdictTable, at: At = ALL) -> None:
        self.profile = profile
        self.table = table
        self.at = at
        self._build(cycle)

    def _build(self, cycle: Cycle) -> None:
        columns, at = cycle.state.columns, self.at
        self._version = columns.version
        self._position = columns.journal.position
        cycle = self.cycle(cycle, fresh=True)
        valid = columns.valid[at]
        self._by_nodes: Verdicts = np.where(valid, PASSES, NO_NODE).astype(np.int16)
        self._refuse(cycle, Scope.NODES, self._by_nodes, at)
        self.verdicts = self._by_nodes.copy()
        self._refuse(cycle, Scope.PODS_HERE, self.verdicts, at)
        self.passing: Mask = self.verdicts == PASSES
        self._score_nodes(cycle, valid)
        self.totals: Ints = self._fixed + self._score_pods(cycle, at, valid)

    def cycle(self, cycle: Cycle, *, fresh: bool = False) -> Cycle:
        """The cycle with masks that are kept for as long as the nodes stay as they are."""
        if fresh:
            self._masks: dict[object, Mask] = {}
        return replace(cycle, masks=self._masks)

    def refresh(self, cycle: Cycle) -> None:
        """Take in what happened since the last decision."""
        columns = cycle.state.columns
        touched = columns.journal.since(self._position)
        if columns.version != self._version or touched is None:
            self._build(cycle)
            return
        self._position = columns.journal.position
        if len(touched) == 1:
            self._refresh_at(self.cycle(cycle), slice(touched[0], touched[0] + 1))
        elif touched:
            self._refresh_at(self.cycle(cycle), np.array(touched, np.intp))

    def _refresh_at(self, cycle: Cycle, at: At) -> None:
        verdicts = self._by_nodes[at].copy()
        self._refuse(cycle, Scope.PODS_HERE, verdicts, at)
        self.verdicts[at] = verdicts
        passing = verdicts == PASSES
        self.passing[at] = passing
        self.totals[at] = self._fixed[at] + self._score_pods(cycle, at, passing)

    def _refuse(self, cycle: Cycle, scope: Scope, verdicts: Verdicts, at: At) -> None:
        for plugin in self.profile.filters:
            if plugin.scope is scope:
                refusals = plugin.refuse(cycle, at)
                if refusals:
                    self.table.enter(verdicts, plugin.name, refusals)

    def _score_nodes(self, cycle: Cycle, valid: Mask) -> None:
        self._fixed: Ints = np.zeros(len(valid), np.int64)
        self.varying: list[_Varying] = []
        self.constants: dict[str, int] = {}
        self.parts: dict[str, Ints] = {}
        for score, weight in self.profile.scores:
            if score.scope is not Scope.NODES:
                continue
            raw = score.raw(cycle, self.at, valid)
            if raw is None:
                continue
            if score.normalize is None:
                self.parts[score.name] = weight * raw
                self._fixed += self.parts[score.name]
            elif (raw == raw[0]).all() and not raw[0]:
                # The same for all nodes: it decides nothing.
                one = score.normalize(np.zeros(1, np.int64), np.ones(1, np.bool_))
                self.constants[score.name] = weight * int(one[0])
            else:
                self.varying.append(_Varying(score, weight, raw))

    def _score_pods(self, cycle: Cycle, at: At, valid: Mask) -> Ints:
        total: Ints = np.zeros(len(valid), np.int64)
        for score, weight in self.profile.scores:
            if score.scope is Scope.PODS_HERE:
                raw = score.raw(cycle, at, valid)
                if raw is not None:
                    total += raw if weight == 1 else weight * raw
        return total

    def local_scores(self, cycle: Cycle, slot: Slot, position: int) -> dict[str, int]:
        """One node's scores that need no comparison with others, by plugin, weights applied."""
        found = {name: int(scores[position]) for name, scores in self.parts.items()}
        at = slice(slot, slot + 1)
        for score, weight in self.profile.scores:
            if score.scope is Scope.PODS_HERE:
                raw = score.raw(cycle, at, self.passing[:1])
                if raw is not None:
                    found[score.name] = weight * int(raw[0])
        return found | self.constants


def refusals_at(filters: Sequence[Filter], cycle: Cycle, slot: Slot) -> list[str]:
    """The reasons of the first filter that refuses one node; none if the pod fits.

    Raises PodRefused.
    """
    at = slice(slot, slot + 1)
    for plugin in filters:
        found = [r.reason for r in plugin.refuse(cycle, at) if r.mask[0]]
        if found:
            return found
    return []


class Evaluations:
    """The evaluations in use, by profile and template."""

    def __init__(self) -> None:
        self.table = VerdictTable()
        self._kept: OrderedDict[tuple[Profile, Template], Evaluation] = OrderedDict()

    def of(self, profile: Profile, cycle: Cycle) -> Evaluation:
        """A template's evaluation, up to date."""
        key = (profile, cycle.template)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            found.refresh(cycle)
            return found
        found = self._kept[key] = Evaluation(profile, cycle, self.table)
        if len(self._kept) > EVALUATIONS_MAX:
            self._kept.popitem(last=False)
        return found
