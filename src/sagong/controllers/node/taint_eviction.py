"""Delete pods from nodes whose NoExecute taints they do not tolerate, when their time is up.

Reads: Pod, Node.  Writes: Pod (condition DisruptionTarget, delete).
Invariant: a pod is deleted no earlier than its shortest matching tolerationSeconds after the taint
was added, and not at all if the taint goes before.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import is_deleting, key_of, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time, parse_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch, after


def _pods_of_node(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    if new is None or (old is not None and _no_execute(old) == _no_execute(new)):
        return []
    return [key_of(pod) for pod in cache.with_index("pods", "node", name_of(new))]


def _is_tainted(pod: Obj, cache: Cache) -> bool:
    """Whether the pod is on a node with such taints, or on one that is not there (any more)."""
    name = pod["spec"].get("nodeName")
    if not name:
        return False
    node = cache.get("nodes", "", name)
    return node is None or bool(_no_execute(node))


CONTROLLER = Controller(
    name="taint-eviction-controller",
    reconciles="pods",
    watches=(
        Watch("nodes", _pods_of_node),
        Watch("pods", indexes={"node": lambda pod: [pod["spec"].get("nodeName") or ""]}),
    ),
    workers=8,
    concerns=_is_tainted,
)


@dataclass(frozen=True, slots=True)
class Seen:
    pod: Obj
    taints: tuple[tuple[str, str, float | None], ...]  # key, value, when added (epoch seconds)


def _no_execute(node: Obj) -> list[Obj]:
    return [t for t in node["spec"].get("taints") or () if t["effect"] == "NoExecute"]


def observe(key: Key, cache: Cache) -> Seen | None:
    pod = cache.get("pods", key.namespace, key.name)
    if pod is None or is_deleting(pod) or not pod["spec"].get("nodeName"):
        return None
    node = cache.get("nodes", "", pod["spec"]["nodeName"])
    if node is None:
        return None
    taints = tuple(
        (t["key"], t.get("value") or "", parse_time(t["timeAdded"]) if t.get("timeAdded") else None)
        for t in _no_execute(node)
    )
    return Seen(pod, taints) if taints else None


def plan(seen: Seen, *, noticed: float, now: float) -> float | None:
    """When to delete the pod (seconds since the epoch); None if every taint is tolerated.

    ``noticed``: when this process first saw the pod among taints that do not say since when.
    """
    deadlines: list[float] = []
    for key, value, added in seen.taints:
        tolerating = [
            t for t in seen.pod["spec"].get("tolerations") or () if _tolerates(t, key, value)
        ]
        if not tolerating:
            return now
        seconds = [t["tolerationSeconds"] for t in tolerating if "tolerationSeconds" in t]
        if seconds:
            deadlines.append((noticed if added is None else added) + max(0, min(seconds)))
    return min(deadlines) if deadlines else None


def _tolerates(toleration: Obj, key: str, value: str) -> bool:
    if (toleration.get("effect") or "NoExecute") != "NoExecute":
        return False
    if toleration.get("key") and toleration["key"] != key:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == value


def reconciler() -> Reconcile:
    """Reconcile with a memory of when pods came among taints, and which are to be deleted."""
    noticed: dict[str, float] = {}  # by uid; forgotten when a pod or its last taint goes
    uids: dict[Key, str] = {}

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        uid = uid_of(seen.pod) if seen else ""
        if uids.get(key, uid) != uid:
            await _forget(key, uids.pop(key), noticed, env)
        if seen is None:
            return DONE
        now = env.clock.now()
        deadline = plan(seen, noticed=noticed.get(uid, now), now=now)
        if deadline is None:
            return DONE
        uids[key] = uid
        noticed.setdefault(uid, now)
        if deadline > now:
            return after(deadline - now)
        await _evict(seen.pod, env)
        return DONE

    return reconcile


async def _forget(key: Key, uid: str, noticed: dict[str, float], env: Env) -> None:
    noticed.pop(uid, None)
    pod = env.cache.get("pods", key.namespace, key.name)
    if pod is not None and uid_of(pod) == uid and not is_deleting(pod):
        message = f"Cancelling deletion of Pod {key}"
        env.events.emit(pod, "Normal", "TaintManagerEviction", message)


async def _evict(pod: Obj, env: Env) -> None:
    name, namespace = name_of(pod), namespace_of(pod)
    shown = f"{namespace}/{name}"
    env.events.emit(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {shown}")
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
        "lastTransitionTime": format_time(env.clock.now()),
    }
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [target]}}
    try:
        await env.client.patch(
            "pods",
            name,
            patch,
            namespace=namespace,
            subresource="status",
            patch_type=PatchType.STRATEGIC,
        )
        await env.client.delete("pods", name, namespace=namespace, uid=uid_of(pod))
    except (errors.NotFound, errors.Conflict):
        return
