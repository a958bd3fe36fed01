"""Notice nodes that have gone silent: conditions Unknown, taints, pods no longer ready.

Reads: Node, Lease (kube-node-lease), Pod.  Writes: Node.status.conditions, Node.spec.taints,
Pod.status (Ready False).
Invariant: a node is called silent only by its lease or status not having changed for the whole
grace period *as this process watched*, so clocks of nodes do not matter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import condition, deep_copy, name_of, namespace_of
from sagong.api.types import Key, Obj
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch, after

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
GRACE_SECONDS = 50.0  # upstream's --node-monitor-grace-period since 1.32
MONITOR_SECONDS = 5.0  # upstream's --node-monitor-period

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
# Condition type -> status -> taint that keeps new pods away.
_NO_SCHEDULE = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
}
_NO_SCHEDULE_KEYS = {UNSCHEDULABLE, *(k for by in _NO_SCHEDULE.values() for k in by.values())}
_NO_EXECUTE = {"False": NOT_READY, "Unknown": UNREACHABLE}
_MONITORED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def _lease_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    obj = new or old
    ours = obj is not None and namespace_of(obj) == LEASE_NAMESPACE
    return [Key("", name_of(obj))] if obj and ours else []


CONTROLLER = Controller(
    name="node",
    reconciles="nodes",
    watches=(
        Watch(LEASES, _lease_wakes),
        Watch("pods", indexes={"node": lambda pod: [pod["spec"].get("nodeName") or ""]}),
    ),
    workers=8,
)


@dataclass(frozen=True, slots=True)
class Seen:
    node: Obj
    renewed: str  # what changes with every sign of life
    pods: Sequence[Obj]


@dataclass(slots=True)
class Heartbeat:
    """The last sign of life of a node, and when this process saw it (monotonic seconds)."""

    renewed: str
    at: float


@dataclass(frozen=True, slots=True)
class Plan:
    """``conditions`` and ``taints`` are None where nothing changes."""

    conditions: Sequence[Obj] | None
    taints: Sequence[Obj] | None
    pods_not_ready: bool
    became: str = ""  # "NodeNotReady" or "NodeReady" for the event, if it changed


def observe(key: Key, cache: Cache) -> Seen | None:
    node = cache.get("nodes", "", key.name)
    if node is None:
        return None
    lease = cache.get(LEASES, LEASE_NAMESPACE, key.name)
    renewed = ((lease or {}).get("spec") or {}).get("renewTime") or ""
    ready = condition(node, "Ready") or {}
    sign = f"{renewed} {ready.get('lastHeartbeatTime')}"
    return Seen(node, sign, list(cache.with_index("pods", "node", key.name)))


def plan(seen: Seen, *, silent: bool, now: str) -> Plan:
    conditions = _unknown_conditions(seen.node, now) if silent else None
    ready = _ready_status(conditions or (seen.node.get("status") or {}).get("conditions") or ())
    taints = _taints(seen.node, conditions, ready, now)
    before = _ready_status((seen.node.get("status") or {}).get("conditions") or ())
    became = ""
    if conditions is not None and before == "True" and ready != "True":
        became = "NodeNotReady"
    return Plan(conditions, taints, ready in ("False", "Unknown"), became)


def _ready_status(conditions: Sequence[Obj]) -> str:
    return next((c["status"] for c in conditions if c["type"] == "Ready"), "Unknown")


def _unknown_conditions(node: Obj, now: str) -> list[Obj] | None:
    """The conditions of a node that nobody hears from; None if they already say so."""
    current = (node.get("status") or {}).get("conditions") or []
    by_type = {c["type"]: c for c in current}
    changed = False
    for type_ in _MONITORED:
        old = by_type.get(type_)
        if old is not None and old["status"] == "Unknown":
            continue
        changed = True
        never = old is None
        by_type[type_] = {
            "type": type_,
            "status": "Unknown",
            "lastHeartbeatTime": old["lastHeartbeatTime"]
            if old
            else node["metadata"].get("creationTimestamp"),
            "lastTransitionTime": now,
            "reason": "NodeStatusNeverUpdated" if never else "NodeStatusUnknown",
            "message": "Kubelet never posted node status."
            if never
            else "Kubelet stopped posting node status.",
        }
    return list(by_type.values()) if changed else None


def _taints(node: Obj, conditions: Sequence[Obj] | None, ready: str, now: str) -> list[Obj] | None:
    """The node's taints as its conditions demand; None if they already are."""
    current = node["spec"].get("taints") or []
    statuses = conditions or (node.get("status") or {}).get("conditions") or ()
    wanted = {
        taint
        for c in statuses
        if (taint := _NO_SCHEDULE.get(c["type"], {}).get(c["status"])) is not None
    }
    if node["spec"].get("unschedulable"):
        wanted.add(UNSCHEDULABLE)
    evicting = _NO_EXECUTE.get(ready)
    kept = [t for t in current if not _is_stale(t, wanted, evicting)]
    have = {(t["key"], t["effect"]) for t in kept}
    added: list[Obj] = [
        {"key": key, "effect": "NoSchedule"} | ({"timeAdded": now} if key != UNSCHEDULABLE else {})
        for key in sorted(wanted)
        if (key, "NoSchedule") not in have
    ]
    if evicting and (evicting, "NoExecute") not in have:
        added.append({"key": evicting, "effect": "NoExecute", "timeAdded": now})
    if not added and len(kept) == len(current):
        return None
    return [*kept, *added]


def _is_stale(taint: Obj, wanted: set[str], evicting: str | None) -> bool:
    key, effect = taint["key"], taint["effect"]
    if effect == "NoSchedule":
        return key in _NO_SCHEDULE_KEYS and key not in wanted
    return effect == "NoExecute" and key in (NOT_READY, UNREACHABLE) and key != evicting


def reconciler(grace_seconds: float = GRACE_SECONDS) -> Reconcile:
    """Reconcile with this grace period."""
    # When each node was last heard of. Rebuilt by waiting: after a restart every node gets a
    # whole grace period.
    heard: dict[str, Heartbeat] = {}

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            heard.pop(key.name, None)
            return DONE
        now = env.clock.monotonic()
        last = heard.get(key.name)
        if last is None or last.renewed != seen.renewed:
            last = heard[key.name] = Heartbeat(seen.renewed, now)
        silent = now - last.at >= grace_seconds
        await _apply(seen, plan(seen, silent=silent, now=format_time(env.clock.now())), env)
        left = grace_seconds - (now - last.at)
        return after(left if left > 0 else MONITOR_SECONDS)

    return reconcile


async def _apply(seen: Seen, steps: Plan, env: Env) -> None:
    node, name = seen.node, name_of(seen.node)
    if steps.conditions is not None:
        changed = deep_copy(node)
        changed.setdefault("status", {})["conditions"] = list(steps.conditions)
        node = await env.client.update("nodes", changed, subresource="status")
    if steps.taints is not None:
        version = node["metadata"]["resourceVersion"]
        patch = {
            "metadata": {"resourceVersion": version},
            "spec": {"taints": list(steps.taints)},
        }
        await env.client.patch("nodes", name, patch)
    if steps.became:
        env.events.emit(node, "Normal", steps.became, f"Node {name} status is now: {steps.became}")
    if steps.pods_not_ready:
        for pod in seen.pods:
            await _mark_not_ready(pod, env)


async def _mark_not_ready(pod: Obj, env: Env) -> None:
    """A pod on a node that is not ready must not be sent anything."""
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return
    patch = {
        "metadata": {"uid": pod["metadata"]["uid"]},
        "status": {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "False",
                    "lastTransitionTime": format_time(env.clock.now()),
                }
            ]
        },
    }
    try:
        await env.client.patch(
            "pods",
            name_of(pod),
            patch,
            namespace=namespace_of(pod),
            subresource="status",
            patch_type=PatchType.STRATEGIC,
        )
    except (errors.NotFound, errors.Conflict):
        return
    env.events.emit(pod, "Warning", "NodeNotReady", "Node is not ready")
