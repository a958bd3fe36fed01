"""Which pods have to go so that a critical one can run on this node. Pure.

Semantics: upstream's ``pkg/kubelet/preemption``: as few and as small pods as will do, of the lowest
quality of service first.
"""

from collections.abc import Mapping, Sequence

from sagong.api.types import Obj
from sagong.node.pods.admission import is_critical
from sagong.node.pods.resources import pod_requests
from sagong.node.pods.spec import qos_class

MESSAGE = "Preempted in order to admit critical pod"
DISRUPTION = "Pod was preempted by Kubelet to accommodate a critical pod."
_CLASSES = ("BestEffort", "Burstable", "Guaranteed")


def victims(pod: Obj, others: Sequence[Obj], missing: Mapping[str, int]) -> Sequence[Obj]:
    """Of the others, those that free what is missing; none if all together would not do."""
    weaker = [other for other in others if is_preemptable(pod, other)]
    by_class = {name: [p for p in weaker if qos_class(p) == name] for name in _CLASSES}
    if _left(missing, weaker):
        return ()
    chosen: dict[str, Sequence[Obj]] = {}
    # From the best class down: what the classes below it could free, it need not.
    for name in reversed(_CLASSES):
        below = _CLASSES[: _CLASSES.index(name)]
        elsewhere = [p for lower in below for p in by_class[lower]]
        elsewhere += [p for found in chosen.values() for p in found]
        chosen[name] = _nearest(by_class[name], _left(missing, elsewhere))
    return [p for name in _CLASSES for p in chosen[name]]


def is_preemptable(pod: Obj, other: Obj) -> bool:
    if is_critical(pod) and not is_critical(other):
        return True
    own, theirs = pod["spec"].get("priority"), other["spec"].get("priority")
    return own is not None and theirs is not None and int(own) > int(theirs)


def freed(pod: Obj) -> Mapping[str, int]:
    return {**pod_requests(pod), "pods": 1}


def _left(missing: Mapping[str, int], pods: Sequence[Obj]) -> dict[str, int]:
    """What is missing still when these pods are gone."""
    given = [freed(pod) for pod in pods]
    left = {name: amount - sum(g.get(name, 0) for g in given) for name, amount in missing.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _nearest(pods: Sequence[Obj], missing: Mapping[str, int]) -> Sequence[Obj]:
    """One after the other the pod that comes nearest to what is missing, the smaller of equals."""
    remaining, chosen = list(pods), []
    left = dict(missing)
    while left and remaining:
        best = min(remaining, key=lambda pod: (_distance(pod, left), _size(pod)))
        remaining.remove(best)
        chosen.append(best)
        left = _left(left, [best])
    return chosen


def _distance(pod: Obj, missing: Mapping[str, int]) -> float:
    given = freed(pod)
    shares = [max(0, amount - given.get(name, 0)) / amount for name, amount in missing.items()]
    return sum(share**2 for share in shares)


def _size(pod: Obj) -> tuple[int, int]:
    given = freed(pod)
    return given.get("memory", 0), given.get("cpu", 0)
