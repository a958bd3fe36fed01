"""Which pods go first when there are too many (upstream ``ActivePodsWithRanks``)."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key

from sagong.api.meta import annotations_of, uid_of
from sagong.api.pods import phase_of
from sagong.api.types import Obj
from sagong.controllers.pods.state import created_at, is_active, is_ready, node_of, ready_since

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What the order depends on; smaller goes first."""

    # Assigned to a node, phase, ready, deletion cost, and minus the related pods on its node.
    order: tuple[int, int, int, int, int]
    ready_since: float | None
    # Minus the most restarts of any container, then of any restartable init container.
    restarts: tuple[int, int]
    created: float
    uid: str


def deletion_cost(pod: Obj) -> int:
    """The annotated cost; 0 if there is none or it is no 32-bit integer in plain form."""
    text = annotations_of(pod).get(DELETION_COST, "")
    digits = text[1:] if text[:1] == "-" else text
    if not digits.isascii() or not digits.isdecimal() or (digits[0] == "0" and digits != "0"):
        return 0
    value = int(text)
    return value if -(2**31) <= value < 2**31 else 0


def _most_restarts(statuses: Iterable[Obj] | None) -> int:
    return max((int(s.get("restartCount") or 0) for s in statuses or ()), default=0)


def _restarts(pod: Obj) -> tuple[int, int]:
    status = pod.get("status") or {}
    sidecars = {
        c["name"]
        for c in (pod.get("spec") or {}).get("initContainers") or ()
        if c.get("restartPolicy") == "Always"
    }
    inits = [s for s in status.get("initContainerStatuses") or () if s.get("name") in sidecars]
    return -_most_restarts(status.get("containerStatuses")), -_most_restarts(inits)


def _candidate(pod: Obj, related: int) -> Candidate:
    return Candidate(
        order=(
            1 if node_of(pod) else 0,
            _PHASES.get(phase_of(pod), 0),
            1 if is_ready(pod) else 0,
            deletion_cost(pod),
            -related,
        ),
        ready_since=ready_since(pod),
        restarts=_restarts(pod),
        created=created_at(pod),
        uid=uid_of(pod),
    )


def _bucket(age_seconds: float) -> int:
    """Ages are told apart by powers of two only, so that not always the youngest pod dies."""
    return int(math.log2(age_seconds * 1e9)) if age_seconds > 0 else -1


def _compare_times(
    left: Candidate, right: Candidate, times: tuple[float, float], now: float
) -> int:
    buckets = _bucket(now - times[0]) - _bucket(now - times[1])
    return buckets or (-1 if left.uid < right.uid else 1)


def _compare(left: Candidate, right: Candidate, now: float) -> int:
    if left.order != right.order:
        return -1 if left.order < right.order else 1
    if left.ready_since != right.ready_since and left.order[2]:
        if left.ready_since is None or right.ready_since is None:
            return -1 if left.ready_since is None else 1
        return _compare_times(left, right, (left.ready_since, right.ready_since), now)
    if left.restarts != right.restarts:
        return -1 if left.restarts < right.restarts else 1
    if left.created != right.created:
        if not left.created or not right.created:
            return -1 if not left.created else 1
        return _compare_times(left, right, (left.created, right.created), now)
    return 0


def to_delete(pods: Sequence[Obj], count: int, *, related: Iterable[Obj], now: float) -> list[Obj]:
    """``count`` of the pods, those whose loss costs least.

    ``related`` are the pods of all replica sets of the same owner: of two alike pods the one that
    shares its node with more active related pods goes first.
    """
    if count >= len(pods):
        return list(pods)
    on_node = Counter(node_of(pod) for pod in related if is_active(pod))
    ranked: list[tuple[Candidate, Obj]] = [
        (_candidate(pod, on_node[node_of(pod)]), pod) for pod in pods
    ]

    def compare(left: tuple[Candidate, Obj], right: tuple[Candidate, Obj]) -> int:
        return _compare(left[0], right[0], now)

    ranked.sort(key=cmp_to_key(compare))
    return [pod for _, pod in ranked[:count]]
