"""Keep one pod with its claims for each ordinal of a StatefulSet, and update them in order.

Reads: StatefulSet, Pod, ControllerRevision, PersistentVolumeClaim.
Writes: Pod, PersistentVolumeClaim (create, owners), ControllerRevision, StatefulSet.status.
Invariant: never two pods of one identity: a pod is named after its ordinal, and a new one is made
only when the cache has seen the old one gone.
"""

from collections.abc import Awaitable, Sequence
from functools import partial

from sagong.api.errors import AlreadyExists, ApiError, Conflict, NotFound
from sagong.api.meta import name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.apps.statefulset_identity import RESOURCE, ordinal_of, revision_of
from sagong.controllers.apps.statefulset_plan import (
    Action,
    CreateClaims,
    CreatePod,
    DeletePod,
    Seen,
    UpdateClaim,
    UpdatePod,
    plan,
)
from sagong.controllers.pods import revisions
from sagong.controllers.pods.candidates import ORPHAN_INDEX, candidates, claims, matches_of
from sagong.controllers.pods.history import claim_revisions, delete_revision, write_current
from sagong.controllers.pods.state import seconds_to_available
from sagong.ctl.controller import DONE, Controller, Env, Result, Watch, after, reads
from sagong.ctl.ownership import claim, slow_start

CLAIMS = "persistentvolumeclaims"
# How often to look for the end of a claim that must go before its pod can come back.
CLAIM_POLL_SECONDS = 2.0
HASH_LABEL = "controller.kubernetes.io/hash"
CONTROLLER = Controller(
    name="statefulset",
    reconciles=RESOURCE,
    watches=(
        claims("pods", RESOURCE, "StatefulSet"),
        Watch(revisions.RESOURCE, None, ORPHAN_INDEX),
        reads(CLAIMS),
    ),
    workers=5,
)


async def reconcile(key: Key, env: Env) -> Result:
    set_ = env.cache.get(RESOURCE, key.namespace, key.name)
    if set_ is None:
        return DONE
    history = await claim_revisions(env, RESOURCE, set_)
    update = revisions.current(set_, history, hash_label=HASH_LABEL)
    await write_current(env, RESOURCE, set_, update)
    named = (set_.get("status") or {}).get("currentRevision")
    current = next((r for r in history if name_of(r) == named), update.revision)
    seen = Seen(set_, current, update.revision, await _pods(env, set_), _claims(env, set_))
    decided = plan(seen, now=env.clock.now())
    try:
        await _apply(env, set_, decided.actions)
    finally:
        if decided.status != (set_.get("status") or {}):
            new = set_ | {"status": decided.status}
            await env.client.update(RESOURCE, new, subresource="status")
    await _truncate(env, seen, history)
    if decided.waits_for_claim:
        return after(CLAIM_POLL_SECONDS)
    seconds = set_["spec"].get("minReadySeconds") or 0
    left = seconds_to_available(seen.pods, seconds, env.clock.now())
    return DONE if left is None else after(left)


async def _pods(env: Env, set_: Obj) -> list[Obj]:
    """Pods of the set; only those named after it can be adopted."""
    found = candidates(env.cache, "pods", set_)
    matches = matches_of(set_)

    def is_member(pod: Obj) -> bool:
        return matches(pod) and ordinal_of(set_, pod) is not None

    return await claim(env.client, RESOURCE, set_, "pods", found, is_member)


def _claims(env: Env, set_: Obj) -> dict[str, Obj]:
    if not set_["spec"].get("volumeClaimTemplates"):
        return {}
    return {name_of(claim): claim for claim in env.cache.list(CLAIMS, namespace_of(set_))}


async def _truncate(env: Env, seen: Seen, history: Sequence[Obj]) -> None:
    live = {name_of(seen.current), name_of(seen.update), *map(revision_of, seen.pods)}
    limit = seen.set_["spec"].get("revisionHistoryLimit")
    for revision in revisions.past_history(history, live, 10 if limit is None else limit):
        await delete_revision(env, revision)


async def _apply(env: Env, set_: Obj, actions: Sequence[Action]) -> None:
    """In order; creations, of which only Parallel has several, in batches that double."""
    creations = [a for a in actions if isinstance(a, CreatePod)]
    started = await slow_start([partial(_create, env, set_, a) for a in creations])
    if started.failure is not None:
        raise started.failure
    for action in actions:
        match action:
            case DeletePod(pod, event):
                if event is not None:
                    env.events.emit(set_, *event)
                await _delete(env, set_, pod)
            case UpdatePod(pod):
                await _told(env, set_, "update", pod, env.client.update("pods", pod))
            case CreateClaims(pod, missing):
                for claim_ in missing:
                    await _create_claim(env, set_, pod, claim_)
            case UpdateClaim(claim_):
                await env.client.update(CLAIMS, claim_)


async def _create(env: Env, set_: Obj, action: CreatePod) -> None:
    for claim_ in action.claims:
        await _create_claim(env, set_, action.pod, claim_)
    await _told(env, set_, "create", action.pod, env.client.create("pods", action.pod))


async def _delete(env: Env, set_: Obj, pod: Obj) -> None:
    deletion = env.client.delete("pods", name_of(pod), namespace=namespace_of(pod), uid=uid_of(pod))
    try:
        await _told(env, set_, "delete", pod, deletion)
    except (NotFound, Conflict):
        return


async def _create_claim(env: Env, set_: Obj, pod: Obj, claim_: Obj) -> None:
    subject = f"Claim {name_of(claim_)} Pod {name_of(pod)} in StatefulSet {name_of(set_)}"
    try:
        await env.client.create(CLAIMS, claim_)
    except AlreadyExists:
        return
    except ApiError as error:
        text = f"create {subject} failed error: {error.message}"
        env.events.emit(set_, "Warning", "FailedCreate", text)
        raise
    env.events.emit(set_, "Normal", "SuccessfulCreate", f"create {subject} success")


async def _told(env: Env, set_: Obj, verb: str, pod: Obj, write: Awaitable[Obj]) -> None:
    """Do a write of a pod and record how it went. Raises ApiError."""
    text = f"{verb} Pod {name_of(pod)} in StatefulSet {name_of(set_)}"
    try:
        await write
    except (AlreadyExists, NotFound, Conflict):
        raise  # The cache was late: no news to anybody.
    except ApiError as error:
        failed = f"{text} failed error: {error.message}"
        env.events.emit(set_, "Warning", f"Failed{verb.title()}", failed)
        raise
    env.events.emit(set_, "Normal", f"Successful{verb.title()}", f"{text} successful")
