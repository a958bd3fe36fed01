"""Remove pods that nobody else will: on nodes that are gone, deleted before they were scheduled.

Reads: Pod, Node.  Writes: Pod (status Failed, delete with grace 0).
Invariant: a pod of a missing node is removed only after the node has been missing for a while and
is missing at the server too, not just in the cache.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import condition, is_deleting, key_of, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch, after

QUARANTINE_SECONDS = 40.0  # upstream's: a node that is only re-registering comes back within it
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def _pods_of_node(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    node = new or old
    if node is None:
        return []
    return [key_of(pod) for pod in cache.with_index("pods", "node", name_of(node))]


CONTROLLER = Controller(
    name="pod-garbage-collector",
    reconciles="pods",
    watches=(
        Watch("nodes", _pods_of_node),
        Watch("pods", indexes={"node": lambda pod: [pod["spec"].get("nodeName") or ""]}),
    ),
)


class Verdict(Enum):
    KEEP = "keep"
    UNSCHEDULED = "deleted before it was scheduled"
    ORPHANED = "its node is gone"
    OUT_OF_SERVICE = "its node is declared out of service"


@dataclass(frozen=True, slots=True)
class Seen:
    pod: Obj
    node: Obj | None


def observe(key: Key, cache: Cache) -> Seen | None:
    pod = cache.get("pods", key.namespace, key.name)
    if pod is None:
        return None
    return Seen(pod, cache.get("nodes", "", pod["spec"].get("nodeName") or ""))


def plan(seen: Seen) -> Verdict:
    node_name = seen.pod["spec"].get("nodeName")
    if not node_name:
        return Verdict.UNSCHEDULED if is_deleting(seen.pod) else Verdict.KEEP
    if seen.node is None:
        return Verdict.ORPHANED
    taints = {t["key"] for t in seen.node["spec"].get("taints") or ()}
    ready = condition(seen.node, "Ready")
    unready = ready is None or ready["status"] != "True"
    if is_deleting(seen.pod) and unready and _OUT_OF_SERVICE in taints:
        return Verdict.OUT_OF_SERVICE
    return Verdict.KEEP


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    verdict = plan(seen)
    if verdict is Verdict.KEEP:
        return DONE
    if verdict is Verdict.ORPHANED:
        age = await _missing_for(seen.pod, env)
        if age is None:
            return DONE
        if age < QUARANTINE_SECONDS:
            return after(QUARANTINE_SECONDS - age)
    await _remove(seen.pod, verdict, env)
    return DONE


_MISSING = "sagong.dev/node-missing-since"


async def _missing_for(pod: Obj, env: Env) -> float | None:
    """How long the pod's node has been missing; None if the server still has it.

    The time is kept on the pod, so that it survives a restart of this process.
    """
    try:
        await env.client.get("nodes", pod["spec"]["nodeName"])
    except errors.NotFound:
        pass
    else:
        return None
    noted = (pod["metadata"].get("annotations") or {}).get(_MISSING)
    if noted is not None:
        return env.clock.now() - float(noted)
    patch = {"metadata": {"annotations": {_MISSING: str(int(env.clock.now()))}}}
    await env.client.patch("pods", name_of(pod), patch, namespace=namespace_of(pod))
    return 0.0


async def _remove(pod: Obj, verdict: Verdict, env: Env) -> None:
    name, namespace = name_of(pod), namespace_of(pod)
    phase = (pod.get("status") or {}).get("phase")
    try:
        if verdict is not Verdict.UNSCHEDULED and phase not in ("Succeeded", "Failed"):
            await env.client.patch(
                "pods",
                name,
                _failed(pod, env),
                namespace=namespace,
                subresource="status",
                patch_type=PatchType.STRATEGIC,
            )
        await env.client.delete(
            "pods", name, namespace=namespace, uid=uid_of(pod), grace_period_seconds=0
        )
    except (errors.NotFound, errors.Conflict):
        return


def _failed(pod: Obj, env: Env) -> Obj:
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
        "lastTransitionTime": format_time(env.clock.now()),
    }
    return {
        "metadata": {"uid": uid_of(pod)},
        "status": {"phase": "Failed", "conditions": [target]},
    }
