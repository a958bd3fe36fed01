"""Keep N alike pods: what ReplicaSets and ReplicationControllers have in common.

Semantics: upstream's ``pkg/controller/replicaset``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api.errors import ApiError
from sagong.api.meta import controller_uid, is_deleting, labels_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.pods import conditions
from sagong.controllers.pods.candidates import candidates, matches_of
from sagong.controllers.pods.control import (
    BURST_PODS,
    create_pods,
    delete_pods,
    namespace_is_terminating,
)
from sagong.controllers.pods.ranking import to_delete
from sagong.controllers.pods.state import (
    is_active,
    is_available,
    is_ready,
    is_terminating,
    seconds_to_available,
)
from sagong.controllers.pods.template import pod_from_template
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Env, Result, after
from sagong.ctl.ownership import claim


@dataclass(frozen=True, slots=True)
class Replicated:
    """The resource, and the condition type that tells of failed creations and deletions."""

    resource: str
    failure: str


@dataclass(frozen=True, slots=True)
class Seen:
    owner: Obj
    # Active and terminating pods that are the owner's or nobody's.
    pods: Sequence[Obj]
    # Pods of all replica sets of the same Deployment.
    related: Sequence[Obj]


@dataclass(frozen=True, slots=True)
class Plan:
    create: Sequence[Obj] = ()
    delete: Sequence[Obj] = ()

    @property
    def failure_reason(self) -> str:
        return "FailedCreate" if self.create else "FailedDelete"


def observe(kind: Replicated, key: Key, cache: Cache) -> Seen | None:
    owner = cache.get(kind.resource, key.namespace, key.name)
    if owner is None:
        return None
    pods = [
        pod for pod in candidates(cache, "pods", owner) if is_active(pod) or is_terminating(pod)
    ]
    related: list[Obj] = []
    if deployment := controller_uid(owner):
        for sibling in cache.owned_by(kind.resource, deployment):
            related.extend(cache.owned_by("pods", uid_of(sibling)))
    return Seen(owner, pods, related)


def plan(owner: Obj, active: Sequence[Obj], related: Sequence[Obj], *, now: float) -> Plan:
    """Which pods to create and which to delete."""
    missing = replicas_of(owner) - len(active)
    if is_deleting(owner) or not missing:
        return Plan()
    if missing > 0:
        pod = pod_from_template(owner["spec"]["template"], owner)
        return Plan(create=[pod] * min(missing, BURST_PODS))
    return Plan(delete=to_delete(active, min(-missing, BURST_PODS), related=related, now=now))


def replicas_of(owner: Obj) -> int:
    replicas = owner["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def plan_status(
    owner: Obj,
    pods: Sequence[Obj],
    failure: tuple[str, str, str] | None,
    *,
    now: float,
) -> Obj:
    """The status that the owner's pods call for.

    ``failure`` is the condition's type, and reason and message if this reconcile failed to create
    or delete (a reason of "" removes the condition).
    """
    active = [pod for pod in pods if is_active(pod)]
    wanted = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    min_ready = owner["spec"].get("minReadySeconds") or 0
    old = owner.get("status") or {}
    status = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(wanted.items() <= labels_of(pod).items() for pod in active),
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": sum(is_available(pod, min_ready, now) for pod in active),
        "observedGeneration": owner["metadata"].get("generation", 0),
        "conditions": _conditions(old.get("conditions") or [], failure, now),
    }
    status = conditions.without_zeros(status, "replicas")
    if owner["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = sum(is_terminating(pod) for pod in pods)
    return status


def _conditions(
    current: Sequence[Obj], failure: tuple[str, str, str] | None, now: float
) -> list[Obj]:
    if failure is None:
        return conditions.without(current, "ReplicaFailure")
    type_, reason, message = failure
    if conditions.find(current, type_) is not None:
        return list(current)
    new = {
        "type": type_,
        "status": "True",
        "lastTransitionTime": format_time(now),
        "reason": reason,
        "message": message,
    }
    return conditions.replaced(current, new)


async def reconcile_replicas(kind: Replicated, key: Key, env: Env) -> Result:
    seen = observe(kind, key, env.cache)
    if seen is None:
        return DONE
    owner = seen.owner
    pods = await claim(env.client, kind.resource, owner, "pods", seen.pods, matches_of(owner))
    decided = plan(owner, [p for p in pods if is_active(p)], seen.related, now=env.clock.now())
    error = await _apply(env, owner, decided)
    now = env.clock.now()
    failure = (kind.failure, decided.failure_reason, error.message) if error else None
    status = plan_status(owner, pods, failure, now=now)
    if status != (owner.get("status") or {}):
        await env.client.update(kind.resource, owner | {"status": status}, subresource="status")
    if error is not None:
        raise error
    left = seconds_to_available(pods, owner["spec"].get("minReadySeconds") or 0, now)
    return DONE if left is None else after(left)


async def _apply(env: Env, owner: Obj, decided: Plan) -> ApiError | None:
    if decided.create:
        error = (await create_pods(env, owner, decided.create)).failure
        return None if error is not None and namespace_is_terminating(error) else error
    return await delete_pods(env, owner, decided.delete) if decided.delete else None
