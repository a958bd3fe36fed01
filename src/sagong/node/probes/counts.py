"""How many probes were made, with which result: what ``/metrics/probes`` tells."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sagong.node.pods.model import ProbeKind


@dataclass(frozen=True, slots=True)
class Probed:
    """What a count is of."""

    uid: str
    namespace: str
    pod: str
    container: str
    kind: ProbeKind
    result: str  # successful, failed, unknown


@dataclass(slots=True)
class ProbeCounts:
    """One an agent; the counts of a pod go with it."""

    _counts: dict[str, Counter[Probed]] = field(default_factory=dict)

    def add(self, probed: Probed) -> None:
        self._counts.setdefault(probed.uid, Counter())[probed] += 1

    def forget(self, uid: str) -> None:
        self._counts.pop(uid, None)

    def __iter__(self) -> Iterator[tuple[Probed, int]]:
        for counts in self._counts.values():
            yield from counts.items()
