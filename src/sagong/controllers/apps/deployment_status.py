"""The status of a Deployment: counts, availability, progress, failures. Pure."""

from collections.abc import Sequence

from sagong.api.meta import condition, name_of
from sagong.api.types import Obj
from sagong.controllers.apps.deployment_facts import (
    fenceposts,
    has_progress_deadline,
    is_complete,
    progressing,
    replicas_of,
    status_total,
    total,
)
from sagong.controllers.apps.deployment_rollout import Rollout, new_condition
from sagong.controllers.pods import conditions
from sagong.core.clock import parse_time


def counted(rollout: Rollout) -> Obj:
    """The status but for progress: counts and the Available condition."""
    deployment, sets = rollout.deployment, rollout.sets
    old = deployment.get("status") or {}
    available = status_total(sets, "availableReplicas")
    status: Obj = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": status_total(sets, "replicas"),
        "updatedReplicas": status_total([rollout.newest] if rollout.newest else [], "replicas"),
        "readyReplicas": status_total(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(sets) - available),
    }
    status = conditions.without_zeros(status)
    if old.get("collisionCount") is not None:
        status["collisionCount"] = old["collisionCount"]
    terminating = _terminating(sets)
    if terminating is not None:
        status["terminatingReplicas"] = terminating
    new = _availability(deployment, available, rollout.now)
    status["conditions"] = conditions.replaced(old.get("conditions") or [], new)
    return status


def _terminating(sets: Sequence[Obj]) -> int | None:
    """None while a set has not been counted yet."""
    statuses = [rs.get("status") or {} for rs in sets]
    if any(
        s.get("terminatingReplicas") is None or not s.get("observedGeneration") for s in statuses
    ):
        return None
    return sum(int(s["terminatingReplicas"]) for s in statuses)


def _availability(deployment: Obj, available: int, now: float) -> Obj:
    if available >= replicas_of(deployment) - fenceposts(deployment).unavailable:
        message = "Deployment has minimum availability."
        return new_condition("Available", "True", "MinimumReplicasAvailable", message, now)
    message = "Deployment does not have minimum availability."
    return new_condition("Available", "False", "MinimumReplicasUnavailable", message, now)


def rolled(rollout: Rollout) -> Obj:
    """The whole status while a rollout is on: with progress and failures."""
    deployment = rollout.deployment
    status = counted(rollout)
    found: list[Obj] = status["conditions"]
    if not has_progress_deadline(deployment):
        found = conditions.without(found, "Progressing")
    elif not _was_complete(deployment, status):
        found = _progress(rollout, status, found)
    failures = _failures(rollout)
    if failures:
        found = conditions.replaced(found, failures[0])
    else:
        found = conditions.without(found, "ReplicaFailure")
    return status | {"conditions": found}


def _was_complete(deployment: Obj, status: Obj) -> bool:
    current = progressing(deployment)
    all_new = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return all_new and current is not None and current.get("reason") == "NewReplicaSetAvailable"


def _progress(rollout: Rollout, status: Obj, found: list[Obj]) -> list[Obj]:
    deployment, now = rollout.deployment, rollout.now
    subject = f'Deployment "{name_of(deployment)}"'
    if rollout.newest is not None:
        subject = f'ReplicaSet "{name_of(rollout.newest)}"'
    if is_complete(deployment, status):
        message = f"{subject} has successfully progressed."
        new = new_condition("Progressing", "True", "NewReplicaSetAvailable", message, now)
        return conditions.replaced(found, new)
    if _has_progressed(deployment.get("status") or {}, status):
        new = new_condition(
            "Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.", now
        )
        current = progressing(deployment)
        if current is not None and current.get("status") == "True":
            new["lastTransitionTime"] = current["lastTransitionTime"]
        # Replaced even if equal but for the time: the deadline counts from here.
        return [*conditions.without(found, "Progressing"), new]
    if seconds_to_deadline(deployment, found, now) < 0:
        message = f"{subject} has timed out progressing."
        new = new_condition("Progressing", "False", "ProgressDeadlineExceeded", message, now)
        return conditions.replaced(found, new)
    return found


def _has_progressed(old: Obj, new: Obj) -> bool:
    def count(status: Obj, field: str) -> int:
        return int(status.get(field) or 0)

    def outdated(status: Obj) -> int:
        return count(status, "replicas") - count(status, "updatedReplicas")

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return outdated(new) < outdated(old) or any(count(new, f) > count(old, f) for f in grown)


def seconds_to_deadline(deployment: Obj, found: Sequence[Obj], now: float) -> float:
    """Until progress counts as stuck; infinite if nothing is under way, negative if it is."""
    current = conditions.find(found, "Progressing")
    if current is None or current.get("reason") == "NewReplicaSetAvailable":
        return float("inf")
    if current.get("reason") == "ProgressDeadlineExceeded":
        return -1.0
    began = parse_time(current["lastUpdateTime"])
    return began + float(deployment["spec"]["progressDeadlineSeconds"]) - now


def _failures(rollout: Rollout) -> list[Obj]:
    """Failure conditions of the new set, or else of the others."""
    newest = [rollout.newest] if rollout.newest is not None else []
    for sets in (newest, rollout.old):
        found = [c for rs in sets if (c := condition(rs, "ReplicaFailure")) is not None]
        if found:
            return [c | {"lastUpdateTime": c.get("lastTransitionTime")} for c in found]
    return []
