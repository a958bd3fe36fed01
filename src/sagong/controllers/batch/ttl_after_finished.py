"""Delete each finished Job ttlSecondsAfterFinished after its end.

Reads: Job.  Writes: Job (delete, with its pods).
Invariant: what is deleted is looked at again, live, and must be that very object.
"""

from sagong.api.errors import NotFound
from sagong.api.meta import is_deleting, name_of, namespace_of, resource_version_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.batch.job_facts import RESOURCE, finished_at
from sagong.ctl.controller import DONE, Controller, Env, Result, after

CONTROLLER = Controller(name="ttl-after-finished", reconciles=RESOURCE, workers=5)


def plan(job: Obj, *, now: float) -> float | None:
    """Seconds until the Job is to be deleted (0 or less: now); None if never."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    ended = finished_at(job)
    if ttl is None or ended is None or is_deleting(job):
        return None
    return ended + float(ttl) - now


async def reconcile(key: Key, env: Env) -> Result:
    job = env.cache.get(RESOURCE, key.namespace, key.name)
    left = plan(job, now=env.clock.now()) if job is not None else None
    if left is None:
        return DONE
    if left > 0:
        return after(left)
    try:
        live = await env.client.get(RESOURCE, key.name, namespace=key.namespace)
        left = plan(live, now=env.clock.now())
        if left is None or left > 0:
            return DONE if left is None else after(left)
        await env.client.delete(
            RESOURCE,
            name_of(live),
            namespace=namespace_of(live),
            uid=uid_of(live),
            resource_version=str(resource_version_of(live)),
            propagation_policy="Foreground",
        )
    except NotFound:
        return DONE
    return DONE
