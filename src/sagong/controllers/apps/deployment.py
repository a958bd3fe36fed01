"""Roll each Deployment's template out over ReplicaSets, keeping within surge and unavailability.

Reads: Deployment, ReplicaSet, Pod.  Writes: ReplicaSet (create, scale, annotate, delete, adopt,
release), Deployment.status and its revision annotation; its template when it is to be rolled back.
Invariant: never act while one of our own earlier writes is still unseen in the cache.

Semantics: upstream's ``pkg/controller/deployment``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.errors import AlreadyExists, ApiError, NotFound, conflict
from sagong.api.meta import (
    controller_of,
    controller_uid,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from sagong.api.pods import is_finished
from sagong.api.types import Key, Obj
from sagong.controllers.apps.deployment_facts import (
    has_progress_deadline,
    is_complete,
    is_rolling,
    progressing,
    replicas_of,
)
from sagong.controllers.apps.deployment_rollback import Rewrite, plan_rollback
from sagong.controllers.apps.deployment_rolling import plan_recreate, plan_rolling
from sagong.controllers.apps.deployment_rollout import (
    Action,
    CreateSet,
    DeleteSet,
    Rollout,
    UpdateSet,
    begin,
    new_condition,
)
from sagong.controllers.apps.deployment_scaling import is_scaling, plan_scaling
from sagong.controllers.apps.deployment_status import counted, rolled, seconds_to_deadline
from sagong.controllers.pods import conditions
from sagong.controllers.pods.candidates import candidates, claims, matches_of
from sagong.controllers.pods.control import namespace_is_terminating
from sagong.controllers.pods.template import same_but_hash
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch, after
from sagong.ctl.ownership import claim

RESOURCE = "deployments.apps"
SETS = "replicasets.apps"


def _pod_is_gone(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """A Recreate waits for the last old pod to go or to finish."""
    ref = controller_of(old) if old is not None else None
    if old is None or ref is None or ref["kind"] != "ReplicaSet":
        return ()
    if new is not None and not is_finished(new):
        return ()
    rs = cache.get(SETS, namespace_of(old), ref["name"])
    owner = controller_of(rs) if rs is not None else None
    return (Key(namespace_of(old), owner["name"]),) if owner is not None else ()


CONTROLLER = Controller(
    name="deployment",
    reconciles=RESOURCE,
    watches=(claims(SETS, RESOURCE, "Deployment"), Watch("pods", _pod_is_gone)),
    workers=5,
)


@dataclass(frozen=True, slots=True)
class Seen:
    deployment: Obj
    sets: Sequence[Obj]
    # uid of the ReplicaSet of each pod that is not finished.
    running: frozenset[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """ReplicaSets first, in order; then the Deployment: only status and revision differ."""

    actions: Sequence[Action]
    deployment: Obj
    # Seconds until progress counts as stuck, if that should be looked at.
    look_again: float | None = None
    # Instead of all that: the Deployment goes back to another template.
    rewrite: Rewrite | None = None


def observe(deployment: Obj, sets: Sequence[Obj], cache: Cache) -> Seen:
    running = set()
    if not is_rolling(deployment):
        for rs in sets:
            if any(not is_finished(pod) for pod in cache.owned_by("pods", uid_of(rs))):
                running.add(uid_of(rs))
    return Seen(deployment, sets, frozenset(running))


def plan(seen: Seen, *, now: float) -> Plan:
    """The next step of this Deployment."""
    rollout = begin(seen.deployment, seen.sets, now)
    if is_deleting(seen.deployment):
        return _finish(rollout, counted(rollout))
    _note_pause(rollout)
    paused = bool(seen.deployment["spec"].get("paused"))
    rewrite = None if paused else plan_rollback(rollout)
    if rewrite is not None:
        return Plan((), seen.deployment, rewrite=rewrite)
    if paused or is_scaling(rollout):
        rollout.sync_revision(create=False)
        plan_scaling(rollout)
        if paused:
            rollout.clean_up()
        return _finish(rollout, counted(rollout))
    if is_rolling(seen.deployment):
        plan_rolling(rollout)
    else:
        newest = uid_of(rollout.newest) if rollout.newest is not None else None
        plan_recreate(rollout, old_pods_run=bool(seen.running - {newest}))
    return _finish(rollout, rolled(rollout))


def _note_pause(rollout: Rollout) -> None:
    deployment = rollout.deployment
    if not has_progress_deadline(deployment):
        return
    reason = (progressing(deployment) or {}).get("reason")
    if reason == "ProgressDeadlineExceeded":
        return
    paused = bool(deployment["spec"].get("paused"))
    if paused and reason != "DeploymentPaused":
        rollout.set_condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    elif not paused and reason == "DeploymentPaused":
        rollout.set_condition(
            "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed"
        )


def _finish(rollout: Rollout, status: Obj) -> Plan:
    deployment = rollout.deployment | {"status": status}
    look_again = None
    if has_progress_deadline(deployment) and not is_complete(deployment, status):
        left = seconds_to_deadline(deployment, status["conditions"], rollout.now)
        if 0 <= left < float("inf"):
            # Upstream's second more: times of conditions are rounded down.
            look_again = left + 1.0
    return Plan(tuple(rollout.actions.values()), deployment, look_again)


async def reconcile(key: Key, env: Env) -> Result:
    deployment = env.cache.get(RESOURCE, key.namespace, key.name)
    if deployment is None:
        return DONE
    if _selects_all(deployment):
        return await _refuse(env, deployment)
    found = candidates(env.cache, SETS, deployment)
    sets = await claim(env.client, RESOURCE, deployment, SETS, found, matches_of(deployment))
    decided = plan(observe(deployment, sets, env.cache), now=env.clock.now())
    if decided.rewrite is not None:
        await env.client.update(RESOURCE, decided.rewrite.deployment)
        env.events.emit(deployment, *decided.rewrite.event)
        return DONE
    for action in decided.actions:
        await _apply(env, deployment, action)
    await _write(env, deployment, decided.deployment)
    return DONE if decided.look_again is None else after(decided.look_again)


def _selects_all(deployment: Obj) -> bool:
    selector = deployment["spec"].get("selector") or {}
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


async def _refuse(env: Env, deployment: Obj) -> Result:
    message = "This deployment is selecting all pods. A non-empty selector is required."
    env.events.emit(deployment, "Warning", "SelectingAll", message)
    status = deployment.get("status") or {}
    generation = deployment["metadata"].get("generation", 0)
    if (status.get("observedGeneration") or 0) < generation:
        new = deployment | {"status": status | {"observedGeneration": generation}}
        await _write(env, deployment, new)
    return DONE


async def _write(env: Env, old: Obj, new: Obj) -> None:
    metadata, status = old["metadata"], old.get("status") or {}
    if new["metadata"] != metadata or new["status"] != status:
        await env.client.update(RESOURCE, new, subresource="status")


async def _apply(env: Env, deployment: Obj, action: Action) -> None:
    match action:
        case CreateSet(rs):
            await _create(env, deployment, rs)
        case UpdateSet(rs, events):
            await env.client.update(SETS, rs)
            for message in events:
                env.events.emit(deployment, "Normal", "ScalingReplicaSet", message)
        case DeleteSet(rs):
            try:
                name, namespace = name_of(rs), namespace_of(rs)
                await env.client.delete(SETS, name, namespace=namespace, uid=uid_of(rs))
            except NotFound:
                return


async def _create(env: Env, deployment: Obj, rs: Obj) -> None:
    """Create the new set. Raises ApiError, after the Deployment's status tells of it."""
    try:
        await env.client.create(SETS, rs)
    except AlreadyExists:
        await _settle_collision(env, deployment, rs)
        raise
    except ApiError as error:
        if namespace_is_terminating(error):
            raise
        message = f'Failed to create new replica set "{name_of(rs)}": {error.message}'
        await _tell_failure(env, deployment, message)
        env.events.emit(deployment, "Warning", "ReplicaSetCreateError", message)
        raise
    if replicas_of(rs) > 0:
        message = f"Scaled up replica set {name_of(rs)} from 0 to {replicas_of(rs)}"
        env.events.emit(deployment, "Normal", "ScalingReplicaSet", message)


async def _settle_collision(env: Env, deployment: Obj, rs: Obj) -> None:
    """Another set has the name: unless it is this very one, hash differently next time."""
    live = await env.client.get(SETS, name_of(rs), namespace=namespace_of(rs))
    ours = controller_uid(live) == uid_of(deployment)
    if ours and same_but_hash(live["spec"]["template"], rs["spec"]["template"]):
        raise conflict("apps", "replicasets", name_of(rs), "the cache has not seen it yet")
    status = deployment.get("status") or {}
    counted_up = status | {"collisionCount": (status.get("collisionCount") or 0) + 1}
    await env.client.update(RESOURCE, deployment | {"status": counted_up}, subresource="status")


async def _tell_failure(env: Env, deployment: Obj, message: str) -> None:
    if not has_progress_deadline(deployment):
        return
    status = deployment.get("status") or {}
    now = env.clock.now()
    new = new_condition("Progressing", "False", "ReplicaSetCreateError", message, now)
    changed = conditions.replaced(status.get("conditions") or [], new)
    told = deployment | {"status": status | {"conditions": changed}}
    await env.client.update(RESOURCE, told, subresource="status")
