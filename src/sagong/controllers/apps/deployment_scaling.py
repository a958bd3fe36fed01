"""Scaling a Deployment; in the middle of a rollout its sets share in proportion. Pure."""

from math import floor

from sagong.api.types import Obj
from sagong.controllers.apps.deployment_facts import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    age_key,
    annotated_int,
    by_age,
    fenceposts,
    is_rolling,
    is_saturated,
    replicas_of,
    status_count,
    total,
    with_pods,
)
from sagong.controllers.apps.deployment_rollout import Rollout


def is_scaling(rollout: Rollout) -> bool:
    """Whether the Deployment's size is another than an active set remembers."""
    wanted = replicas_of(rollout.deployment)
    remembered = (annotated_int(rs, DESIRED_REPLICAS) for rs in with_pods(rollout.sets))
    return any(size is not None and size != wanted for size in remembered)


def plan_scaling(rollout: Rollout) -> None:
    """Bring the sets to the Deployment's size without furthering a rollout."""
    deployment = rollout.deployment
    only = _active_or_latest(rollout)
    if only is not None:
        rollout.resize(only, replicas_of(deployment))
    elif is_saturated(deployment, rollout.newest):
        for rs in rollout.active_old:
            rollout.resize(rs, 0)
    elif is_rolling(deployment):
        _share(rollout)


def _active_or_latest(rollout: Rollout) -> Obj | None:
    """The one set with pods; if none has any the newest; None if several have."""
    active = with_pods(rollout.sets)
    if len(active) > 1 or not rollout.sets:
        return None
    if active:
        return active[0]
    return rollout.newest if rollout.newest is not None else by_age(rollout.old)[-1]


def _share(rollout: Rollout) -> None:
    """Spread the difference over the active sets by their sizes; the largest takes the rest."""
    deployment = rollout.deployment
    sets = with_pods(rollout.sets)
    wanted = replicas_of(deployment)
    allowed = wanted + fenceposts(deployment).surge if wanted > 0 else 0
    difference = allowed - total(sets)
    # Equal sizes: growth favours the newest, shrinking hits the oldest.
    sets = sorted(sets, key=age_key, reverse=difference > 0)
    sets = sorted(sets, key=replicas_of, reverse=True)
    sizes, added = [], 0
    for rs in sets:
        share = _proportion(deployment, rs, difference, added)
        added += share
        sizes.append(replicas_of(rs) + share)
    if sizes and difference:
        sizes[0] = max(0, sizes[0] + difference - added)
    for rs, size in zip(sets, sizes, strict=True):
        rollout.scale(rs, size)


def _proportion(deployment: Obj, rs: Obj, difference: int, added: int) -> int:
    if not replicas_of(rs) or not difference or difference == added:
        return 0
    left = difference - added
    fraction = _fraction(deployment, rs)
    return min(fraction, left) if difference > 0 else max(fraction, left)


def _fraction(deployment: Obj, rs: Obj) -> int:
    """By how much the set grows or shrinks if it keeps its part of the whole."""
    size, wanted = replicas_of(rs), replicas_of(deployment)
    if not wanted:
        return -size
    before = annotated_int(rs, MAX_REPLICAS) or status_count(deployment, "replicas")
    if not before:
        return 0
    most = wanted + fenceposts(deployment).surge
    return floor(size * most / before + 0.5) - size
