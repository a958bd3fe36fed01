"""Notice nodes that have gone silent: conditions Unknown, taints, pods no longer ready.

Reads: Node, Lease (kube-node-lease), Pod.  Writes: Node.status.conditions, Node.spec.taints,
Pod.status (Ready False).
Invariant: a node is called silent only by its lease or status not having changed for the whole
grace period *as this process watched*, so clocks of nodes do not matter; while our own watch is
lost nobody is, and every node gets a whole grace period after it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import condition, deep_copy, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.node.zones import (
    READINESS,
    Zone,
    evictions_per_second,
    is_all_disrupted,
    readiness,
    zone_around,
    zone_of,
)
from sagong.core.clock import format_time
from sagong.ctl.controller import (
    DONE,
    Cache,
    Controller,
    Env,
    Following,
    Reconcile,
    Result,
    Watch,
    after,
)
from sagong.ctl.rate import TokenBucket

LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
STARTUP_GRACE_SECONDS = 60.0  # upstream's, for nodes that have not reported anything yet
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
        Watch("nodes", indexes={READINESS: readiness}),
        Watch("pods", indexes={"node": lambda pod: [pod["spec"].get("nodeName") or ""]}),
    ),
    workers=8,
)


@dataclass(frozen=True, slots=True)
class Seen:
    node: Obj
    renewed: str  # what changes with every sign of life
    pods: Sequence[Obj]
    zone: Zone
    all_disrupted: bool  # no node of the cluster is ready


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
    pods = list(cache.with_index("pods", "node", key.name))
    if ready.get("status") == "True":
        # Counting is needed only where a node is not ready.
        return Seen(node, sign, pods, Zone(1, 0), all_disrupted=False)

    def count(value: str) -> int:
        return cache.count("nodes", READINESS, value)

    return Seen(node, sign, pods, zone_around(node, count), is_all_disrupted(count))


def plan(seen: Seen, *, silent: bool, now: str, may_evict: bool = True) -> Plan:
    """``may_evict``: whether a NoExecute taint may be added now."""
    conditions = _unknown_conditions(seen.node, now) if silent else None
    ready = _ready_status(conditions or (seen.node.get("status") or {}).get("conditions") or ())
    evicting = "" if seen.all_disrupted else _NO_EXECUTE.get(ready, "")
    taints = _taints(seen.node, conditions, evicting, now, may_add=may_evict)
    before = _ready_status((seen.node.get("status") or {}).get("conditions") or ())
    became = ""
    if conditions is not None and before == "True" and ready != "True":
        became = "NodeNotReady"
    return Plan(conditions, taints, ready in ("False", "Unknown"), became)


def wants_eviction(seen: Seen) -> bool:
    """Whether the node is to be emptied and its taints do not say so yet."""
    ready = _ready_status((seen.node.get("status") or {}).get("conditions") or ())
    return ready in _NO_EXECUTE and not seen.all_disrupted and not _evicting_taints(seen.node)


def _evicting_taints(node: Obj) -> list[Obj]:
    taints = node["spec"].get("taints") or ()
    keys = _NO_EXECUTE.values()
    return [t for t in taints if t["effect"] == "NoExecute" and t["key"] in keys]


def _ready_status(conditions: Sequence[Obj]) -> str:
    """Of the condition Ready; "" of a node that has not reported it, and is not judged by it."""
    return next((c["status"] for c in conditions if c["type"] == "Ready"), "")


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
            "lastHeartbeatTime": old.get("lastHeartbeatTime")
            if old
            else node["metadata"].get("creationTimestamp"),
            "lastTransitionTime": now,
            "reason": "NodeStatusNeverUpdated" if never else "NodeStatusUnknown",
            "message": "Kubelet never posted node status."
            if never
            else "Kubelet stopped posting node status.",
        }
    return list(by_type.values()) if changed else None


def _taints(
    node: Obj, conditions: Sequence[Obj] | None, evicting: str, now: str, *, may_add: bool
) -> list[Obj] | None:
    """The node's taints as its conditions demand; None if they already are.

    ``evicting``: the NoExecute taint the node should have, added only if that ``may_add``.
    """
    current = node["spec"].get("taints") or []
    statuses = conditions or (node.get("status") or {}).get("conditions") or ()
    wanted = {
        taint
        for c in statuses
        if (taint := _NO_SCHEDULE.get(c["type"], {}).get(c["status"])) is not None
    }
    if node["spec"].get("unschedulable"):
        wanted.add(UNSCHEDULABLE)
    kept = [t for t in current if not _is_stale(t, wanted, evicting)]
    have = {(t["key"], t["effect"]) for t in kept}
    added: list[Obj] = [
        {"key": key, "effect": "NoSchedule", "timeAdded": now}
        for key in sorted(wanted)
        if (key, "NoSchedule") not in have
    ]
    # From one of the two taints to the other is no new eviction.
    may_add = may_add or bool(_evicting_taints(node))
    if evicting and may_add and (evicting, "NoExecute") not in have:
        added.append({"key": evicting, "effect": "NoExecute", "timeAdded": now})
    if not added and len(kept) == len(current):
        return None
    return [*kept, *added]


def _is_stale(taint: Obj, wanted: set[str], evicting: str) -> bool:
    key, effect = taint["key"], taint["effect"]
    if effect == "NoSchedule":
        return key in _NO_SCHEDULE_KEYS and key not in wanted
    return effect == "NoExecute" and key in (NOT_READY, UNREACHABLE) and key != evicting


def reconciler(grace_seconds: float = GRACE_SECONDS) -> Reconcile:
    """Reconcile with this grace period."""
    # When each node was last heard of. Rebuilt by waiting: after a restart every node gets a
    # whole grace period.
    heard: dict[str, Heartbeat] = {}
    evictions, ears = Evictions(), Ears()

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            if heard.pop(key.name, None):
                _tell(key.name, "RemovingNode", f"Removing Node {key.name} from Controller", env)
            return DONE
        now = env.clock.monotonic()
        last = heard.get(key.name)
        if last is None:
            message = f"Registered Node {key.name} in Controller"
            _tell(key.name, "RegisteredNode", message, env, uid=uid_of(seen.node))
        if last is None or last.renewed != seen.renewed:
            last = heard[key.name] = Heartbeat(seen.renewed, now)
        starting = condition(seen.node, "Ready") is None
        patience = max(grace_seconds, STARTUP_GRACE_SECONDS) if starting else grace_seconds
        since = max(last.at, ears.open_since(env.cache.following(LEASES), now))
        silent = now - since >= patience
        # Of a node just found silent the zone is counted with it: at the next look, soon.
        may_evict = wants_eviction(seen) and evictions.take(seen, now)
        text = format_time(env.clock.now())
        await _apply(seen, plan(seen, silent=silent, now=text, may_evict=may_evict), env)
        left = patience - (now - since)
        return after(left if left > 0 else MONITOR_SECONDS)

    return reconcile


class Ears:
    """Since when signs of life are heard without a gap."""

    def __init__(self) -> None:
        self._losses = 0
        self._since = float("-inf")

    def open_since(self, following: Following, now: float) -> float:
        """Monotonic seconds; ``now`` while nothing is heard."""
        if not following.is_up or following.losses != self._losses:
            self._losses, self._since = following.losses, now
        return self._since


class Evictions:
    """How fast nodes are emptied, zone by zone."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, float], TokenBucket] = {}

    def take(self, seen: Seen, now: float) -> bool:
        """Whether one more node of the zone may be emptied now (monotonic seconds)."""
        rate = evictions_per_second(seen.zone)
        if not rate:
            return False
        slot = (zone_of(seen.node), rate)
        if slot not in self._buckets:
            self._buckets[slot] = TokenBucket(per_second=rate, burst=1, now=now)
        return self._buckets[slot].take_nowait(now)


def _tell(name: str, reason: str, what: str, env: Env, *, uid: str = "") -> None:
    about = {"kind": "Node", "apiVersion": "v1", "name": name, "uid": uid or name}
    env.events.emit(about, "Normal", reason, f"Node {name} event: {what}")


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
