"""Take back a pod's DisruptionTarget condition when the disruption did not come.

Reads: Pod.  Writes: Pod.status.
Invariant: what the node itself wrote, and pods that are over or going, are left alone.
"""

from sagong.api.meta import condition, is_deleting
from sagong.api.pods import is_finished
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time, parse_time
from sagong.ctl.controller import DONE, Controller, Env, Result, after

STALE_SECONDS = 120.0
CONTROLLER = Controller(
    name="disruption",
    component="controllermanager",
    reconciles="pods",
    concerns=lambda pod, _: condition(pod, "DisruptionTarget") is not None,
)


def plan(pod: Obj, *, now: float) -> float | None:
    """Seconds until the condition is stale (0 or less: it is); None if there is nothing to do."""
    found = condition(pod, "DisruptionTarget")
    if found is None or found.get("status") != "True" or is_deleting(pod) or is_finished(pod):
        return None
    if found.get("reason") == "TerminationByKubelet" or not found.get("lastTransitionTime"):
        return None
    return parse_time(found["lastTransitionTime"]) + STALE_SECONDS - now


async def reconcile(key: Key, env: Env) -> Result:
    pod = env.cache.get("pods", key.namespace, key.name)
    left = plan(pod, now=env.clock.now()) if pod is not None else None
    if pod is None or left is None:
        return DONE
    if left > 0:
        return after(left)
    new = {
        "type": "DisruptionTarget",
        "status": "False",
        "lastTransitionTime": format_time(env.clock.now()),
    }
    conditions = [c for c in pod["status"]["conditions"] if c["type"] != "DisruptionTarget"]
    status = pod["status"] | {"conditions": [*conditions, new]}
    await env.client.update("pods", pod | {"status": status}, subresource="status")
    return DONE
