"""Run the pods of each Job until enough have succeeded or too many have failed.

Reads: Job, Pod.  Writes: Pod (create, delete, adopt, release, finalizer), Job.status.
Invariant: a pod's finalizer goes only after status holds its end; a uid becomes a count only after
the finalizer is gone. So every pod counts exactly once, whenever the process dies.

Semantics: upstream's ``pkg/controller/job`` (KEP-2307, 2804, 3329, 3850, 3939, 3998, 4368).
"""

from collections.abc import Iterable, Sequence
from functools import partial

from sagong.api.call import PatchType
from sagong.api.errors import ApiError, NotFound
from sagong.api.meta import controller_of, controller_uid, labels_of, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.batch.job_facts import (
    OUR_NAME,
    RESOURCE,
    TRACKING,
    is_finished,
    is_indexed,
    is_tracked,
)
from sagong.controllers.batch.job_plan import Plan, finished, plan, too_many_succeeded
from sagong.controllers.batch.job_tracking import settled
from sagong.controllers.pods.candidates import ORPHAN_INDEX, candidates, claimed_by, matches_of
from sagong.controllers.pods.control import create_pods, delete_pods, namespace_is_terminating
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch, after
from sagong.ctl.ownership import claim, slow_start

JOB_NAME = "batch.kubernetes.io/job-name"
TRACKED = "job-tracked"


def _tracked(pod: Obj) -> Iterable[str]:
    """By namespace and Job name, pods that wait to be counted."""
    if not is_tracked(pod):
        return ()
    ref = controller_of(pod)
    name = ref["name"] if ref else labels_of(pod).get(JOB_NAME)
    return (f"{namespace_of(pod)}/{name}",) if name else ()


_claimed = claimed_by(RESOURCE, "Job")


def _wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    keys = dict.fromkeys(_claimed(old, new, cache))
    if new is not None and is_tracked(new) and controller_of(new) is None:
        # Its Job may be gone: somebody must take the finalizer off.
        name = labels_of(new).get(JOB_NAME)
        if name:
            keys[Key(namespace_of(new), name)] = None
    return keys


CONTROLLER = Controller(
    name="job",
    reconciles=RESOURCE,
    watches=(Watch("pods", _wakes, ORPHAN_INDEX | {TRACKED: _tracked}),),
    workers=5,
)


async def reconcile(key: Key, env: Env) -> Result:
    job = env.cache.get(RESOURCE, key.namespace, key.name)
    await _free_strangers(key, job, env)
    if job is None or job["spec"].get("managedBy", OUR_NAME) != OUR_NAME or is_finished(job):
        return DONE
    pods = await _claim(env, job)
    decided = plan(job, pods, now=env.clock.now())
    error = await _apply_pods(env, job, decided)
    await _apply_status(env, job, pods, decided)
    if error is not None:
        raise error
    return DONE if decided.look_again is None else after(decided.look_again)


async def _free_strangers(key: Key, job: Obj | None, env: Env) -> None:
    """Pods whose Job is gone need not be counted any more."""
    uid = uid_of(job) if job is not None else ""
    for pod in env.cache.with_index("pods", TRACKED, str(key)):
        owner = controller_uid(pod)
        if (owner and owner != uid) or (not owner and job is None):
            await _untrack(env, pod)


async def _claim(env: Env, job: Obj) -> list[Obj]:
    """The Job's pods. An adopted one must be counted as one that we made; a released one not."""
    found = candidates(env.cache, "pods", job)
    matches = matches_of(job)
    return await claim(env.client, RESOURCE, job, "pods", found, matches, (TRACKING,))


async def _untrack(env: Env, pod: Obj) -> None:
    gone = {"$deleteFromPrimitiveList/finalizers": [TRACKING], "uid": uid_of(pod)}
    try:
        await _patch(env, pod, {"metadata": gone})
    except NotFound:
        return


async def _patch(env: Env, pod: Obj, patch: Obj) -> Obj:
    return await env.client.patch(
        "pods",
        name_of(pod),
        patch,
        namespace=namespace_of(pod),
        patch_type=PatchType.STRATEGIC,
    )


async def _apply_pods(env: Env, job: Obj, decided: Plan) -> ApiError | None:
    changes = decided.pods
    if changes.create:
        error = (await create_pods(env, job, changes.create)).failure
        return None if error is not None and namespace_is_terminating(error) else error
    if not changes.delete:
        return None
    if decided.untrack_deleted:
        for pod in changes.delete:
            if is_tracked(pod):
                await _untrack(env, pod)
    return await delete_pods(env, job, changes.delete)


async def _apply_status(env: Env, job: Obj, pods: Sequence[Obj], decided: Plan) -> None:
    """Write what is uncounted; release the pods; count them; and end the Job if that was all."""
    written = await _write(env, job, decided.status)
    for reason, message in decided.events:
        env.events.emit(job, "Normal", reason, message)
    await _release(env, decided.release)
    released = {uid_of(pod) for pod in decided.release}
    tracked = {uid_of(pod) for pod in pods if is_tracked(pod)} - released
    status = settled(decided.status, tracked, indexed=is_indexed(job))
    ended = None
    if decided.verdict is not None:
        ended = finished(job, status, decided.verdict, now=env.clock.now())
    await _write(env, written, ended or status)
    if ended is not None and decided.verdict is not None:
        _tell_end(env, job, ended, decided)


async def _write(env: Env, job: Obj, status: Obj) -> Obj:
    if status == (job.get("status") or {}):
        return job
    return await env.client.update(RESOURCE, job | {"status": status}, subresource="status")


async def _release(env: Env, pods: Sequence[Obj]) -> None:
    actions = [partial(_untrack, env, pod) for pod in pods]
    failure = (await slow_start(actions, first=max(1, len(actions)))).failure
    if failure is not None:
        raise failure


def _tell_end(env: Env, job: Obj, status: Obj, decided: Plan) -> None:
    verdict = decided.verdict
    assert verdict is not None
    if not verdict.success:
        env.events.emit(job, "Warning", verdict.reason, verdict.message)
        return
    if too_many_succeeded(job, status):
        text = "Too many succeeded pods running after completion count reached"
        env.events.emit(job, "Warning", "TooManySucceededPods", text)
    env.events.emit(job, "Normal", "Completed", "Job completed")
