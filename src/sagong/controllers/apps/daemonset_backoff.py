"""How long a node that failed a daemon pod waits for the next one. Synchronous.

Semantics: client-go's ``flowcontrol.Backoff`` as ``pkg/controller/daemon`` uses it: the first
failure is replaced at once, then the waits double. A restart forgets them, as upstream's does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

FIRST_SECONDS = 1.0
MAX_SECONDS = 900.0
FORGOTTEN_SECONDS = 2 * MAX_SECONDS  # without a failure for so long it begins anew


class Place(NamedTuple):
    """Where pods of one template failed."""

    uid: str  # of the DaemonSet
    generation: int
    node: str


@dataclass(frozen=True, slots=True)
class _Entry:
    seconds: float
    since: float


@dataclass(slots=True)
class FailedPods:
    """Places with failures in the last half hour; times are seconds since the epoch."""

    entries: dict[Place, _Entry] = field(default_factory=dict)

    def waits(self, uid: str, generation: int, now: float) -> Mapping[str, float]:
        """By node, the seconds that are left until a failed pod may be replaced."""
        self._forget(now)
        found = {}
        for place, entry in self.entries.items():
            left = entry.since + entry.seconds - now
            if place.uid == uid and place.generation == generation and left > 0:
                found[place.node] = left
        return found

    def note(self, uid: str, generation: int, nodes: Iterable[str], now: float) -> None:
        """A failed pod of each node is replaced now."""
        self._forget(now)
        for node in nodes:
            place = Place(uid, generation, node)
            before = self.entries.get(place)
            seconds = FIRST_SECONDS if before is None else min(2 * before.seconds, MAX_SECONDS)
            self.entries[place] = _Entry(seconds, now)

    def _forget(self, now: float) -> None:
        old = [p for p, e in self.entries.items() if now - e.since > FORGOTTEN_SECONDS]
        for place in old:
            del self.entries[place]
