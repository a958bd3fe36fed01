"""Deployments."""

from sagong.api.pod_defaults import default_pod_template
from sagong.api.types import Obj
from sagong.api.validation import ErrorList
from sagong.server.kinds import checks
from sagong.server.kinds.apps.workload_rules import (
    SPEC,
    is_zero,
    strategy_in_go,
    validate_collisions,
    validate_counts,
    validate_replica_status,
    validate_selector,
    validate_status_counts,
    validate_template,
)
from sagong.server.kinds.core.pod_warnings import replicated_warnings
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        for name in ("maxUnavailable", "maxSurge"):
            if rolling.get(name) is None:
                rolling[name] = "25%"
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    if spec.get("progressDeadlineSeconds") is None:
        spec["progressDeadlineSeconds"] = 600
    obj.setdefault("status", {})


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    validate_counts(spec, errors, "replicas")
    validate_selector(spec, "deployment", errors)
    validate_template(spec, "ReplicaSet", errors)
    _validate_strategy(spec.get("strategy") or {}, errors)
    validate_counts(spec, errors, "minReadySeconds", "revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        where = SPEC.child("progressDeadlineSeconds")
        checks.not_negative(deadline, where, errors)
        if deadline <= (spec.get("minReadySeconds") or 0):
            errors.invalid(where, deadline, "must be greater than minReadySeconds")


def _validate_strategy(strategy: Obj, errors: ErrorList) -> None:
    path = SPEC.child("strategy")
    type_, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if type_ == "Recreate":
        if rolling is not None:
            message = "may not be specified when strategy `type` is 'Recreate'"
            errors.forbidden(path.child("rollingUpdate"), message)
    elif type_ == "RollingUpdate":
        _validate_rolling(rolling or {}, errors)
    else:
        errors.not_supported(path, strategy_in_go(strategy), ["Recreate", "RollingUpdate"])


def _validate_rolling(rolling: Obj, errors: ErrorList) -> None:
    path = SPEC.child("strategy", "rollingUpdate")
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    checks.int_or_percent(unavailable, path.child("maxUnavailable"), errors)
    checks.int_or_percent(surge, path.child("maxSurge"), errors)
    if is_zero(unavailable) and is_zero(surge):
        message = "may not be 0 when `maxSurge` is 0"
        errors.invalid(path.child("maxUnavailable"), unavailable, message)
    checks.at_most_100_percent(unavailable, path.child("maxUnavailable"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new["spec"].get("selector"), old["spec"].get("selector")
    checks.unchanged(ours, theirs, SPEC.child("selector"), errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    validate_replica_status(new, errors, "updatedReplicas")
    validate_status_counts(new, errors, "unavailableReplicas")
    validate_collisions(new, old, errors)


STRATEGY = Strategy(
    warnings=replicated_warnings,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    default=default,
    has_generation=True,
)
