"""``pods/eviction``: delete a pod unless its disruption budget forbids it.

Source of semantics: ``pkg/registry/core/pod/storage/eviction.go``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagong.api import errors
from sagong.api.call import Answer, Call, Options, Preconditions, Single, Verb
from sagong.api.meta import condition, labels_of
from sagong.api.resources import ResourceTable
from sagong.api.selectors import selector_from_object
from sagong.api.types import Obj, User
from sagong.core.clock import format_time
from sagong.server.handlers import Context
from sagong.server.subresources.answers import done

_BUDGETS = "poddisruptionbudgets.policy"
_STILL_PROCESSED_RETRY_SECONDS = 10
_CANNOT = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = (
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
    "support."
)
# Evictions that a budget remembers; past it the controller has to catch up first.
_DISRUPTED_PODS_MAX = 2000


async def evict(call: Call, user: User, context: Context) -> Answer:
    """Create an Eviction. Raises NotFound, TooManyRequests, InternalError."""
    body = call.body or {}
    name = (body.get("metadata") or {}).get("name") or call.name
    if name != call.name:
        raise errors.BadRequest("name in URL does not match name in Eviction object")
    found = context.lister.get("pods", call.namespace or "", call.name)
    if found is None:
        raise errors.not_found("", "pods", call.name)
    pod, asked = found.obj, body.get("deleteOptions") or {}
    dry_run = call.options.dry_run or bool(asked.get("dryRun"))
    deletion = _deletion(call, asked, dry_run)
    if not _needs_no_budget(pod):
        guarded = await _take_from_budget(call, user, context, pod, dry_run=dry_run)
        if guarded:
            # Nobody may have replaced the pod whose disruption was just paid for.
            wanted = deletion.options.preconditions or Preconditions()
            options = replace(
                deletion.options,
                preconditions=replace(wanted, uid=wanted.uid or pod["metadata"]["uid"]),
            )
            deletion = replace(deletion, options=options)
    if not dry_run:
        deletion = await _mark(deletion, user, context)
    await context.storage.remove(deletion, user)
    return done()


async def _mark(deletion: Call, user: User, context: Context) -> Call:
    """Say in the pod why it goes, before it does; the deletion of the pod as it is then."""
    now = format_time(context.clock.now())
    wanted = deletion.options.preconditions
    status = replace(
        deletion,
        verb=Verb.UPDATE,
        subresource="status",
        options=Options(preconditions=wanted),
    )
    answer = await context.storage.modify(
        status, user, lambda pod: _disrupted(pod, now), subresource="status"
    )
    if wanted is None or not wanted.resource_version or not isinstance(answer, Single):
        return deletion
    marked = replace(wanted, resource_version=answer.obj["metadata"]["resourceVersion"])
    return replace(deletion, options=replace(deletion.options, preconditions=marked))


def _disrupted(pod: Obj, now: str) -> Obj:
    current = condition(pod, "DisruptionTarget")
    if current is not None and current.get("status") == "True":
        now = current.get("lastTransitionTime") or now
    target = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastTransitionTime": now,
    }
    status = pod.setdefault("status", {})
    others = [c for c in status.get("conditions") or () if c["type"] != "DisruptionTarget"]
    status["conditions"] = [*others, target]
    return pod


def _deletion(call: Call, asked: Mapping[str, Any], dry_run: bool) -> Call:
    wanted = asked.get("preconditions") or {}
    options = Options(
        dry_run=dry_run,
        grace_period_seconds=asked.get("gracePeriodSeconds"),
        propagation_policy=asked.get("propagationPolicy"),
        orphan_dependents=asked.get("orphanDependents"),
        preconditions=Preconditions(wanted.get("uid"), wanted.get("resourceVersion"))
        if wanted
        else None,
    )
    return replace(call, verb=Verb.DELETE, subresource="", options=options, body=None)


def _needs_no_budget(pod: Obj) -> bool:
    """Pods that run nothing cannot be disrupted."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(
        pod["metadata"].get("deletionTimestamp")
    )


async def _take_from_budget(
    call: Call, user: User, context: Context, pod: Obj, *, dry_run: bool
) -> bool:
    """Count the disruption; False if no budget speaks of the pod. Raises TooManyRequests."""
    budgets = [
        encoded.obj
        for encoded in context.lister.list(_BUDGETS, call.namespace)
        if selector_from_object(encoded.obj["spec"].get("selector")).matches(labels_of(pod))
    ]
    if not budgets:
        return False
    if len(budgets) > 1:
        raise errors.InternalError(
            f"Internal error occurred: {_SEVERAL}", details={"causes": [{"message": _SEVERAL}]}
        )
    budget = budgets[0]
    if _is_unready(pod) and _may_always_evict(budget):
        return False
    resource = _budget_resource()
    if resource is None:
        raise errors.unknown_resource()
    status_call = Call(
        verb=Verb.UPDATE,
        resource=resource,
        namespace=call.namespace,
        name=budget["metadata"]["name"],
        subresource="status",
        options=Options(dry_run=dry_run),
        user_agent=call.user_agent,
    )
    now = format_time(context.clock.now())

    def take(current: Obj) -> Obj:
        return _taken(current, call.name, now)

    await context.storage.modify(status_call, user, take, subresource="status")
    return True


def _budget_resource() -> Any:
    return ResourceTable().named(_BUDGETS)


def _is_unready(pod: Obj) -> bool:
    ready = condition(pod, "Ready")
    return ready is None or ready.get("status") != "True"


def _may_always_evict(budget: Obj) -> bool:
    status = budget.get("status") or {}
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    desired = int(status.get("desiredHealthy") or 0)
    return int(status.get("currentHealthy") or 0) >= desired > 0


def _taken(budget: Obj, pod_name: str, now: str) -> Obj:
    status = budget.setdefault("status", {})
    name = budget["metadata"]["name"]
    if int(status.get("observedGeneration") or 0) < int(budget["metadata"].get("generation") or 0):
        raise _refusal(
            f"The disruption budget {name} is still being processed by the server.",
            retry_after_seconds=_STILL_PROCESSED_RETRY_SECONDS,
        )
    allowed = int(status.get("disruptionsAllowed") or 0)
    if allowed < 0:
        raise errors.forbidden(
            "policy", "poddisruptionbudget", name, "pdb disruptions allowed is negative"
        )
    if len(status.get("disruptedPods") or {}) > _DISRUPTED_PODS_MAX:
        raise errors.forbidden(
            "policy",
            "poddisruptionbudget",
            name,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        )
    if allowed == 0:
        needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _refusal(
            f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
        )
    status["disruptionsAllowed"] = allowed - 1
    status.setdefault("disruptedPods", {})[pod_name] = now
    return budget


def _refusal(message: str, *, retry_after_seconds: int = 0) -> errors.TooManyRequests:
    details: Obj = {"causes": [{"reason": "DisruptionBudget", "message": message}]}
    if retry_after_seconds:
        details["retryAfterSeconds"] = retry_after_seconds
    return errors.TooManyRequests(_CANNOT, details=details)
