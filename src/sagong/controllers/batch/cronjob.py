"""Create a Job for each CronJob at the times of its schedule.

Reads: CronJob, Job.  Writes: Job (create, delete), CronJob.status.
Invariant: a scheduled time gives the Job its name, so that it starts at most once.

Semantics: upstream's ``cronjob_controllerv2.go``.
"""

from sagong.api.errors import AlreadyExists, ApiError, NotFound
from sagong.api.meta import controller_uid, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.batch.cronjob_plan import Start, past_history, plan, started
from sagong.controllers.batch.job_facts import RESOURCE as JOBS
from sagong.controllers.batch.job_facts import is_finished
from sagong.controllers.pods.control import namespace_is_terminating
from sagong.ctl.controller import DONE, Controller, Env, Result, after, owned

RESOURCE = "cronjobs.batch"
CONTROLLER = Controller(
    name="cronjob", reconciles=RESOURCE, watches=(owned(JOBS, "CronJob"),), workers=5
)


async def reconcile(key: Key, env: Env) -> Result:
    cron_job = env.cache.get(RESOURCE, key.namespace, key.name)
    if cron_job is None:
        return DONE
    jobs = list(env.cache.owned_by(JOBS, uid_of(cron_job)))
    missing = await _missing(env, cron_job, jobs)
    decided = plan(cron_job, jobs, missing, now=env.clock.now())
    for type_, reason, message in decided.events:
        env.events.emit(cron_job, type_, reason, message)
    status = decided.status
    try:
        if decided.start is not None:
            status = await _start(env, cron_job, status, decided.start)
    finally:
        if status != (cron_job.get("status") or {}):
            new = cron_job | {"status": status}
            await env.client.update(RESOURCE, new, subresource="status")
    for job in past_history(cron_job, jobs):
        await _delete(env, cron_job, name_of(job), uid_of(job))
    return DONE if decided.look_again is None else after(decided.look_again)


async def _missing(env: Env, cron_job: Obj, jobs: list[Obj]) -> list[str]:
    """uids of active Jobs that are gone: looked at live, for the cache may be late."""
    present = {uid_of(job) for job in jobs}
    gone = []
    for ref in (cron_job.get("status") or {}).get("active") or ():
        if ref["uid"] in present:
            continue
        try:
            live = await env.client.get(JOBS, ref["name"], namespace=namespace_of(cron_job))
        except NotFound:
            gone.append(ref["uid"])
        else:
            if uid_of(live) != ref["uid"]:
                gone.append(ref["uid"])
    return gone


async def _start(env: Env, cron_job: Obj, status: Obj, start: Start) -> Obj:
    """Create the Job; the status that tells of it. Raises ApiError."""
    for name in start.replaces:
        await _delete(env, cron_job, name)
    try:
        job = await env.client.create(JOBS, start.job)
    except AlreadyExists:
        name = name_of(start.job)
        job = await env.client.get(JOBS, name, namespace=namespace_of(cron_job))
        if controller_uid(job) != uid_of(cron_job):
            text = f'Error creating job: jobs.batch "{name}" already exists'
            env.events.emit(cron_job, "Warning", "FailedCreate", text)
            return status
        if is_finished(job):
            return status
        return started(status, job, start.scheduled, start.replaces)
    except ApiError as error:
        if not namespace_is_terminating(error):
            text = f"Error creating job: {error.message}"
            env.events.emit(cron_job, "Warning", "FailedCreate", text)
        raise
    env.events.emit(cron_job, "Normal", "SuccessfulCreate", f"Created job {name_of(job)}")
    return started(status, job, start.scheduled, start.replaces)


async def _delete(env: Env, cron_job: Obj, name: str, uid: str | None = None) -> None:
    """Delete a Job with its pods. Raises ApiError."""
    try:
        await env.client.delete(
            JOBS,
            name,
            namespace=namespace_of(cron_job),
            uid=uid,
            propagation_policy="Background",
        )
    except NotFound:
        return
    except ApiError as error:
        env.events.emit(cron_job, "Warning", "FailedDelete", f"Deleted job: {error.message}")
        raise
    env.events.emit(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {name}")
