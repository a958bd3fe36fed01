"""Say for each PodDisruptionBudget how many of its pods may be evicted now.

Reads: PodDisruptionBudget, Pod, and the scale of the pods' controllers.
Writes: PodDisruptionBudget.status.
Invariant: disruptionsAllowed is never more than currentHealthy - desiredHealthy, with evictions
that the cache has not seen yet (status.disruptedPods) counted as done.

Semantics: upstream's ``pkg/controller/disruption``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.errors import MethodNotAllowed, NotFound
from sagong.api.intstr import scaled
from sagong.api.meta import (
    condition,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from sagong.api.selectors import selector_from_object
from sagong.api.types import Key, Obj
from sagong.controllers.pods.state import is_ready
from sagong.core.clock import format_time, parse_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch, after

RESOURCE = "poddisruptionbudgets.policy"
# An eviction granted this long ago whose pod still lives did not happen.
DELETION_SECONDS = 120.0
# Controllers whose size is in the cache; others are asked for their scale.
_CACHED = frozenset(
    ("replicasets.apps", "deployments.apps", "statefulsets.apps", "replicationcontrollers")
)


def _of_pod(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    keys: dict[Key, None] = {}  # an ordered set
    for pod in (old, new):
        for budget in cache.list(RESOURCE, namespace_of(pod)) if pod else ():
            if _matches(budget, pod or {}):
                keys[key_of(budget)] = None
    return keys


def _of_owner(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """The size of a controller has changed: its pods' budgets ask for another number."""
    obj = new or old
    if obj is None or (old and new and _size(old) == _size(new)):
        return ()
    template = obj["spec"].get("template") or {"metadata": {}}
    pod = {"metadata": template.get("metadata") or {}}
    return [key_of(b) for b in cache.list(RESOURCE, namespace_of(obj)) if _matches(b, pod)]


def _size(owner: Obj) -> object:
    return owner["spec"].get("replicas")


def _matches(budget: Obj, pod: Obj) -> bool:
    return selector_from_object(budget["spec"].get("selector")).matches(labels_of(pod))


CONTROLLER = Controller(
    name="disruption",
    component="controllermanager",
    reconciles=RESOURCE,
    watches=(
        Watch("pods", _of_pod),
        Watch("replicasets.apps", _of_owner),
        Watch("deployments.apps", _of_owner),
        Watch("statefulsets.apps", _of_owner),
        Watch("replicationcontrollers", _of_owner),
    ),
)


@dataclass(frozen=True, slots=True)
class Expected:
    """How many pods there should be; ``failure`` says why it is not known."""

    pods: int = 0
    failure: str = ""
    unmanaged: Sequence[str] = ()  # names of pods without a controller


@dataclass(frozen=True, slots=True)
class Plan:
    status: Obj
    look_again: float | None = None


def plan(budget: Obj, pods: Sequence[Obj], expected: Expected, *, now: float) -> Plan:
    """``pods`` are all that the selector matches."""
    spec, old = budget["spec"], budget.get("status") or {}
    disrupted, look_again = _disrupted(old.get("disruptedPods") or {}, pods, now)
    desired, count = _desired(spec, pods, expected.pods)
    healthy = sum(
        is_ready(pod) and not is_deleting(pod) and name_of(pod) not in disrupted for pod in pods
    )
    allowed = max(0, healthy - desired) if count > 0 else 0
    status: Obj = {
        "observedGeneration": budget["metadata"].get("generation", 0),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": count,
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    truth, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    status["conditions"] = _with_condition(budget, truth, reason, "", now)
    return Plan(status, look_again)


def _desired(spec: Obj, pods: Sequence[Obj], expected: int) -> tuple[int, int]:
    """desiredHealthy and expectedPods."""
    if spec.get("maxUnavailable") is not None:
        most = scaled(spec["maxUnavailable"], expected, round_up=True)
        return max(0, expected - most), expected
    least = spec.get("minAvailable")
    if isinstance(least, int):
        return least, len(pods)
    if isinstance(least, str):
        return scaled(least, expected, round_up=True), expected
    return 0, 0


def _disrupted(
    granted: Mapping[str, str], pods: Sequence[Obj], now: float
) -> tuple[dict[str, str], float | None]:
    """Granted evictions that the cache does not show yet, and when the first of them expires."""
    left: dict[str, str] = {}
    waits: list[float] = []
    for pod in pods:
        time = granted.get(name_of(pod))
        if time is None or is_deleting(pod):
            continue
        wait = parse_time(time) + DELETION_SECONDS - now
        if wait > 0:
            left[name_of(pod)] = time
            waits.append(wait)
    return left, min(waits, default=None)


def _with_condition(budget: Obj, truth: str, reason: str, message: str, now: float) -> list[Obj]:
    new = {
        "type": "DisruptionAllowed",
        "status": truth,
        "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": format_time(now),
        "reason": reason,
        "message": message,
    }
    current = condition(budget, "DisruptionAllowed")
    conditions = (budget.get("status") or {}).get("conditions") or []
    if current is None:
        return [*conditions, new]
    if current.get("status") == truth:
        new["lastTransitionTime"] = current["lastTransitionTime"]
    return [new if c is current else c for c in conditions]


async def reconcile(key: Key, env: Env) -> Result:
    budget = env.cache.get(RESOURCE, key.namespace, key.name)
    if budget is None:
        return DONE
    namespace = namespace_of(budget)
    selector = selector_from_object(budget["spec"].get("selector"))
    pods = [pod for pod in env.cache.list("pods", namespace) if selector.matches(labels_of(pod))]
    if not pods:
        env.events.emit(budget, "Normal", "NoPods", "No matching pods found")
    expected = await _expected(env, budget, pods)
    if expected.failure:
        await _tell_failure(env, budget, expected.failure)
        return DONE
    _warn_unmanaged(env, budget, expected)
    decided = plan(budget, pods, expected, now=env.clock.now())
    if decided.status != (budget.get("status") or {}):
        new = budget | {"status": decided.status}
        await env.client.update(RESOURCE, new, subresource="status")
    return DONE if decided.look_again is None else after(decided.look_again)


async def _expected(env: Env, budget: Obj, pods: Sequence[Obj]) -> Expected:
    """The sum of the scales of the pods' controllers, where the budget is relative to it."""
    spec = budget["spec"]
    least = spec.get("minAvailable")
    if spec.get("maxUnavailable") is None and not isinstance(least, str):
        return Expected(len(pods))
    scales: dict[str, int] = {}
    unmanaged = []
    for pod in pods:
        ref = controller_of(pod)
        if ref is None:
            unmanaged.append(name_of(pod))
        elif ref["uid"] not in scales:
            found = await _scale(env, namespace_of(pod), ref)
            if found is None:
                return Expected(failure=f'found no controllers for pod "{name_of(pod)}"')
            scales |= found
    return Expected(sum(scales.values()), unmanaged=unmanaged)


async def _scale(env: Env, namespace: str, ref: Obj) -> dict[str, int] | None:
    """The wanted number of pods by the uid of who wants them: a ReplicaSet's is its Deployment's.

    None if the controller is gone or has no scale.
    """
    resource = env.client.resources.of_kind(ref["apiVersion"], ref["kind"])
    if resource is None:
        return None
    if resource.name not in _CACHED:
        return await _live_scale(env, namespace, ref, resource.name)
    owner = env.cache.get(resource.name, namespace, ref["name"])
    if owner is None or uid_of(owner) != ref["uid"]:
        return None
    above = controller_of(owner)
    if above is not None and above["kind"] == "Deployment":
        deployment = env.cache.get("deployments.apps", namespace, above["name"])
        if deployment is not None and uid_of(deployment) == above["uid"]:
            # Every set of the Deployment counts as the Deployment, once.
            return {ref["uid"]: 0, above["uid"]: _wanted(deployment)}
    return {ref["uid"]: _wanted(owner)}


def _wanted(owner: Obj) -> int:
    replicas = owner["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


async def _live_scale(env: Env, namespace: str, ref: Obj, resource: str) -> dict[str, int] | None:
    try:
        scale = await env.client.get(
            resource, ref["name"], namespace=namespace, subresource="scale"
        )
    except (NotFound, MethodNotAllowed):
        return None
    return {ref["uid"]: int(scale["spec"].get("replicas") or 0)}


async def _tell_failure(env: Env, budget: Obj, failure: str) -> None:
    """What cannot be worked out allows no disruption."""
    text = f"Failed to calculate the number of expected pods: {failure}"
    env.events.emit(budget, "Warning", "CalculateExpectedPodCountFailed", text)
    status = budget.get("status") or {}
    conditions = _with_condition(budget, "False", "SyncFailed", failure, env.clock.now())
    new = status | {"disruptionsAllowed": 0, "conditions": conditions}
    for count in ("currentHealthy", "desiredHealthy", "expectedPods"):
        new.setdefault(count, 0)
    if new != status:
        await env.client.update(RESOURCE, budget | {"status": new}, subresource="status")


def _warn_unmanaged(env: Env, budget: Obj, expected: Expected) -> None:
    if expected.unmanaged:
        selector = selector_from_object(budget["spec"].get("selector"))
        text = (
            f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be "
            "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which "
            'may result in undefined behavior. To account for these pods please set ".spec.'
            'minAvailable" field of the PDB to an integer value.'
        )
        env.events.emit(budget, "Warning", "UnmanagedPods", text)
