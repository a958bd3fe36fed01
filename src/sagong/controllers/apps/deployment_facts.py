"""Reading Deployments and their ReplicaSets; the arithmetic of surge and unavailability.

Pure. Semantics: upstream's ``pkg/controller/deployment/util``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.intstr import scaled
from sagong.api.meta import annotations_of, condition
from sagong.api.types import Obj

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
# Our own (docs/rollouts.md). "true": a rollout that passes its progress deadline is taken back.
ROLLBACK_IF_STUCK = "sagong.dev/rollback-on-deadline"
# The hash of the template that was gone back to, so that it is not left again if it fails too.
WENT_BACK_TO = "sagong.dev/rolled-back-to"
UNSET = 2**31 - 1  # upstream's way to say "no limit" in an int32


def replicas_of(obj: Obj) -> int:
    """spec.replicas of a Deployment or ReplicaSet."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def status_count(obj: Obj, field: str) -> int:
    return int((obj.get("status") or {}).get(field) or 0)


def is_rolling(deployment: Obj) -> bool:
    strategy = deployment["spec"].get("strategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


@dataclass(frozen=True, slots=True)
class Fenceposts:
    """How many pods more, and how many available pods fewer, than spec.replicas a rollout may."""

    surge: int
    unavailable: int


def fenceposts(deployment: Obj) -> Fenceposts:
    """Surge is rounded up, unavailability down; both zero would stand still and give one down."""
    replicas = replicas_of(deployment)
    if not is_rolling(deployment):
        return Fenceposts(0, 0)
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", 0), replicas, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", 0), replicas, round_up=False)
    if not surge and not unavailable:
        unavailable = 1
    return Fenceposts(surge, min(unavailable, replicas))


def total(sets: Iterable[Obj]) -> int:
    """Sum of spec.replicas."""
    return sum(map(replicas_of, sets))


def status_total(sets: Iterable[Obj], field: str) -> int:
    return sum(status_count(rs, field) for rs in sets)


def with_pods(sets: Iterable[Obj]) -> list[Obj]:
    """Those that want at least one pod."""
    return [rs for rs in sets if replicas_of(rs) > 0]


def by_age(sets: Iterable[Obj]) -> list[Obj]:
    """Oldest first; of one instant, by name."""
    return sorted(sets, key=age_key)


def age_key(rs: Obj) -> tuple[str, str]:
    # RFC 3339 in UTC with whole seconds sorts as text. A set not yet created is the newest.
    meta = rs["metadata"]
    return (meta.get("creationTimestamp") or "~", meta["name"])


def annotated_int(obj: Obj, annotation: str) -> int | None:
    """An annotation's number; None if it is absent or none."""
    text = annotations_of(obj).get(annotation)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return None


def revision_of(obj: Obj) -> int:
    return annotated_int(obj, REVISION) or 0


def has_progress_deadline(deployment: Obj) -> bool:
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, UNSET)


def is_complete(deployment: Obj, status: Obj) -> bool:
    """Every wanted pod is of the newest template and available, and no other pod is left."""
    replicas = replicas_of(deployment)
    counts = ("updatedReplicas", "replicas", "availableReplicas")
    return all((status.get(name) or 0) == replicas for name in counts) and (
        status.get("observedGeneration") or 0
    ) >= deployment["metadata"].get("generation", 0)


def progressing(obj: Obj) -> Obj | None:
    return condition(obj, "Progressing")


def is_saturated(deployment: Obj, newest: Obj | None) -> bool:
    """The new set has all of the Deployment's replicas, and they are available."""
    if newest is None:
        return False
    replicas = replicas_of(deployment)
    return (
        replicas_of(newest) == replicas
        and annotated_int(newest, DESIRED_REPLICAS) == replicas
        and status_count(newest, "availableReplicas") == replicas
    )


def new_set_replicas(deployment: Obj, sets: Sequence[Obj], newest: Obj) -> int:
    """How far the new set may grow now, given all sets including it."""
    wanted, present = replicas_of(deployment), replicas_of(newest)
    if not is_rolling(deployment):
        return wanted
    room = wanted + fenceposts(deployment).surge - total(sets)
    if room <= 0:
        return present
    return present + min(room, wanted - present)
