"""Remove pods that nobody else will: on nodes that are gone, deleted before they were scheduled.

Reads: Pod, Node.  Writes: Pod (status Failed, delete with grace 0).
Invariant: a pod of a missing node is removed only after the node has been missing for a while and
is missing at the server too, not just in the cache.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import condition, is_deleting, key_of, name_of, namespace_of, uid_of
from sagong.api.pods import is_finished
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch, after

TERMINATED_MAX = 12_500  # upstream's --terminated-pod-gc-threshold; past it the oldest go
QUARANTINE_SECONDS = 40.0  # upstream's: a node that is only re-registering comes back within it
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def _is_doubtful(pod: Obj, cache: Cache) -> bool:
    """Whether the pod may be one to remove: most pods of most changes are not."""
    if is_deleting(pod) or is_finished(pod):
        return True
    node = pod["spec"].get("nodeName")
    return bool(node) and cache.get("nodes", "", node) is None


def _pods_of_node(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    node = new or old
    if node is None or (old and new and _is_out_of_service(old) == _is_out_of_service(new)):
        return []
    return [key_of(pod) for pod in cache.with_index("pods", "node", name_of(node))]


def _is_out_of_service(node: Obj) -> bool:
    """Declared so by a taint, and not ready either."""
    if not any(t["key"] == _OUT_OF_SERVICE for t in node["spec"].get("taints") or ()):
        return False
    ready = condition(node, "Ready")
    return ready is None or ready["status"] != "True"


def surplus(ended: Iterable[Obj], kept_max: int) -> Sequence[Obj]:
    """The pods, of those that have ended, that are too many: evicted ones, then the oldest."""
    found = list(ended)
    if len(found) <= kept_max:
        return ()
    found.sort(key=lambda p: (not _is_evicted(p), p["metadata"]["creationTimestamp"], name_of(p)))
    return found[: len(found) - kept_max]


def _is_evicted(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("reason") == "Evicted"


def _ending_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """A pod that ends concerns the oldest of those that have ended, if they are too many."""
    if new is None or not is_finished(new) or (old is not None and is_finished(old)):
        return []
    return [key_of(p) for p in surplus(cache.with_index("pods", "ended", "yes"), TERMINATED_MAX)]


CONTROLLER = Controller(
    name="pod-garbage-collector",
    reconciles="pods",
    watches=(
        Watch("nodes", _pods_of_node),
        Watch(
            "pods",
            _ending_wakes,
            indexes={
                "node": lambda pod: [pod["spec"].get("nodeName") or ""],
                "ended": lambda pod: ["yes"] if is_finished(pod) else [],
            },
        ),
    ),
    concerns=_is_doubtful,
)


class Verdict(Enum):
    KEEP = "keep"
    UNSCHEDULED = "deleted before it was scheduled"
    ORPHANED = "its node is gone"
    OUT_OF_SERVICE = "its node is declared out of service"
    SURPLUS = "more pods have ended than are kept"


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
    if is_deleting(seen.pod) and _is_out_of_service(seen.node):
        return Verdict.OUT_OF_SERVICE
    return Verdict.KEEP


def reconciler() -> Reconcile:
    """Reconcile with a memory of the nodes that are missing."""
    # Since when (monotonic seconds) nodes are missing that pods still name. Rebuilt by waiting:
    # after a restart every such node gets a whole quarantine.
    missing: dict[str, float] = {}

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            return DONE
        verdict = plan(seen)
        node = seen.pod["spec"].get("nodeName") or ""
        if seen.node is not None:
            missing.pop(node, None)
        if verdict is Verdict.ORPHANED:
            left = QUARANTINE_SECONDS + missing.setdefault(node, env.clock.monotonic())
            left -= env.clock.monotonic()
            if left > 0:
                return after(left)
            if await _exists(node, env):
                return DONE  # the cache will hear of it
        if verdict is Verdict.KEEP and _is_surplus(seen.pod, env.cache):
            verdict = Verdict.SURPLUS
        if verdict is not Verdict.KEEP:
            await _remove(seen.pod, verdict, env)
        return DONE

    return reconcile


async def _exists(node: str, env: Env) -> bool:
    try:
        await env.client.get("nodes", node)
    except errors.NotFound:
        return False
    return True


def _is_surplus(pod: Obj, cache: Cache) -> bool:
    if not is_finished(pod) or is_deleting(pod):
        return False
    ended = cache.with_index("pods", "ended", "yes")
    return uid_of(pod) in {uid_of(p) for p in surplus(ended, TERMINATED_MAX)}


async def _remove(pod: Obj, verdict: Verdict, env: Env) -> None:
    name, namespace = name_of(pod), namespace_of(pod)
    try:
        if not is_finished(pod):
            await env.client.patch(
                "pods",
                name,
                _failed(pod, verdict, env),
                namespace=namespace,
                subresource="status",
                patch_type=PatchType.STRATEGIC,
            )
        await env.client.delete(
            "pods", name, namespace=namespace, uid=uid_of(pod), grace_period_seconds=0
        )
    except (errors.NotFound, errors.Conflict):
        return


def _failed(pod: Obj, verdict: Verdict, env: Env) -> Obj:
    status: Obj = {"phase": "Failed"}
    if verdict is Verdict.ORPHANED:
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": format_time(env.clock.now()),
        }
        status["conditions"] = [target]
    return {"metadata": {"uid": uid_of(pod)}, "status": status}
