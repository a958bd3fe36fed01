"""Recent decisions, kept for whoever asks why: which plugin refused which nodes, who won and how.

Bounded in number; while decisions come fast, the older ones that nobody has taken are lost.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sagong.api.scheduling import API_VERSION, KIND
from sagong.api.types import Obj
from sagong.core.clock import format_time
from sagong.scheduler.cycle import Decision
from sagong.scheduler.evaluation import NO_NODE, PASSES
from sagong.scheduler.pod import PodFacts

RECORDS_MAX = 500
NODES_NAMED_MAX = 100  # of the nodes that were refused alike; past it they are only counted


@dataclass(frozen=True, slots=True)
class Record:
    """One decision, as it was made."""

    pod: PodFacts
    decision: Decision
    names: Sequence[str]  # of nodes by slot, when it was made
    decided_at: float
    attempt: int
    message: str = ""


class Records:
    """The newest record of each of the last pods decided about, until it is taken."""

    def __init__(self) -> None:
        self.filled = asyncio.Event()
        self.lost = 0
        self._by_uid: OrderedDict[str, Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_uid)

    def add(self, record: Record) -> None:
        self.filled.set()
        self._by_uid[record.pod.uid] = record
        self._by_uid.move_to_end(record.pod.uid)
        if len(self._by_uid) > RECORDS_MAX:
            self._by_uid.popitem(last=False)
            self.lost += 1

    def get(self, uid: str) -> Record | None:
        return self._by_uid.get(uid)

    def take(self) -> Record | None:
        """The newest record; it is forgotten here."""
        if not self._by_uid:
            self.filled.clear()
            return None
        return self._by_uid.popitem()[1]


def object_of(record: Record) -> Obj:
    """A record in the words of the API (``pods/scheduling``)."""
    decision, pod = record.decision, record.pod
    found: Obj = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": pod.key.name, "namespace": pod.key.namespace, "uid": pod.uid},
        "schedulerName": pod.scheduler_name,
        "decidedAt": format_time(record.decided_at),
        "attempt": record.attempt,
        "nodes": decision.nodes,
        "refusals": _refusals(record),
    }
    if decision.slot is not None:
        found["nodeName"] = record.names[decision.slot]
        found["ties"] = decision.ties
        scores = sorted(decision.scores.items(), key=lambda item: (-item[1], item[0]))
        found["scores"] = [{"plugin": plugin, "score": score} for plugin, score in scores]
        found["score"] = sum(decision.scores.values())
    if record.message:
        found["message"] = record.message
    return found


def _refusals(record: Record) -> list[Obj]:
    filtered = record.decision.filtered
    if filtered is None:
        explanation = record.decision.explanation
        if explanation is None or not explanation.pod_reason:
            return []
        plugin = next(iter(explanation.refused_by))
        return [_refusal(plugin, (explanation.pod_reason,), False, explanation.nodes, [])]
    verdicts, at = filtered.verdicts(), filtered.evaluation.at
    slots = np.arange(len(verdicts)) if isinstance(at, slice) else at
    found = []
    for code in np.unique(verdicts).tolist():
        if code in (PASSES, NO_NODE):
            continue
        verdict = filtered.evaluation.table[code]
        places = np.flatnonzero(verdicts == code)
        named = [record.names[slots[p]] for p in places[:NODES_NAMED_MAX]]
        found.append(
            _refusal(verdict.plugin, verdict.reasons, verdict.evictable, len(places), named)
        )
    absent = record.decision.nodes - int(np.count_nonzero(verdicts != NO_NODE))
    if absent > 0 and not isinstance(at, slice):
        reason = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
        found.append(_refusal("NodeAffinity", (reason,), False, absent, []))
    return sorted(found, key=lambda entry: -int(entry["count"]))


def _refusal(
    plugin: str, reasons: Sequence[str], evictable: bool, count: int, named: Sequence[str]
) -> Obj:
    return {
        "plugin": plugin,
        "reasons": list(reasons),
        "preemptible": evictable,
        "count": count,
        "nodes": sorted(named),
    }
