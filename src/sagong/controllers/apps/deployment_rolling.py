"""The two strategies: RollingUpdate and Recreate. Pure."""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.controllers.apps.deployment_facts import (
    by_age,
    fenceposts,
    is_complete,
    new_set_replicas,
    replicas_of,
    status_count,
    status_total,
    total,
)
from sagong.controllers.apps.deployment_rollout import Rollout


def plan_rolling(rollout: Rollout) -> None:
    """One step: grow the new set if there is room, else shrink old ones, else tidy up."""
    rollout.sync_revision(create=True)
    if _grow_newest(rollout) or _shrink_old(rollout):
        return
    if is_complete(rollout.deployment, rollout.deployment.get("status") or {}):
        rollout.clean_up()


def plan_recreate(rollout: Rollout, *, old_pods_run: bool) -> None:
    """Remove all old pods, wait until the last is gone, then start the new ones."""
    rollout.sync_revision(create=False)
    if old := rollout.active_old:
        for rs in old:
            rollout.resize(rs, 0)
        return
    if old_pods_run or status_total(rollout.old, "replicas"):
        return
    if rollout.newest is None:
        rollout.sync_revision(create=True)
    if rollout.newest is not None:
        rollout.resize(rollout.newest, replicas_of(rollout.deployment))
    if is_complete(rollout.deployment, rollout.deployment.get("status") or {}):
        rollout.clean_up()


def _grow_newest(rollout: Rollout) -> bool:
    newest, wanted = rollout.newest, replicas_of(rollout.deployment)
    if newest is None or replicas_of(newest) == wanted:
        return False
    if replicas_of(newest) > wanted:
        return rollout.resize(newest, wanted)
    return rollout.resize(newest, new_set_replicas(rollout.deployment, rollout.sets, newest))


def _shrink_old(rollout: Rollout) -> bool:
    if not total(rollout.old):
        return False
    deployment, newest = rollout.deployment, rollout.newest
    available_min = replicas_of(deployment) - fenceposts(deployment).unavailable
    # Pods of the new set that are not available yet may not be replaced by ones that go.
    coming = 0
    if newest is not None:
        coming = replicas_of(newest) - status_count(newest, "availableReplicas")
    excess = total(rollout.sets) - available_min - coming
    if excess <= 0:
        return False
    cleaned = _remove_unhealthy(rollout, by_age(rollout.active_old), excess)
    scaled = _remove_available(rollout, by_age(rollout.active_old), available_min)
    return cleaned or scaled


def _remove_unhealthy(rollout: Rollout, sets: Sequence[Obj], most: int) -> bool:
    """Pods that are not available cost nothing: they go first."""
    removed = 0
    for rs in sets:
        unhealthy = replicas_of(rs) - status_count(rs, "availableReplicas")
        count = min(most - removed, unhealthy)
        if count > 0:
            rollout.resize(rs, replicas_of(rs) - count)
            removed += count
    return removed > 0


def _remove_available(rollout: Rollout, sets: Sequence[Obj], available_min: int) -> bool:
    # A set that was scaled down a moment ago still reports the pods that it is about to delete.
    # Upstream counts them, and can fall below the minimum in that moment.
    staying = sum(
        min(status_count(rs, "availableReplicas"), replicas_of(rs)) for rs in rollout.sets
    )
    left = staying - available_min
    removed = False
    for rs in sets:
        count = min(replicas_of(rs), left)
        if count > 0:
            rollout.resize(rs, replicas_of(rs) - count)
            left -= count
            removed = True
    return removed
