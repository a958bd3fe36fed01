"""Stateful sets."""

from sagong.api.pod_defaults import default_pod_template
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.apps.workload_rules import (
    SPEC,
    is_zero,
    validate_collisions,
    validate_counts,
    validate_selector,
    validate_status_counts,
    validate_template,
)
from sagong.server.kinds.core.persistent_volume_claim import default as default_claim
from sagong.server.kinds.core.pod_warnings import workload_warnings
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    _default_update_strategy(spec.setdefault("updateStrategy", {}))
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for name in ("whenDeleted", "whenScaled"):
        if not retention.get(name):
            retention[name] = "Retain"
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("metadata", {})
        default_claim(claim)
    status = obj.setdefault("status", {})
    status.setdefault("replicas", 0)
    status.setdefault("availableReplicas", 0)


def _default_update_strategy(strategy: Obj) -> None:
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        if rolling.get("partition") is None:
            rolling["partition"] = 0


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"replicas": 0, "availableReplicas": 0}


_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    policy = spec.get("podManagementPolicy") or ""
    if policy not in ("OrderedReady", "Parallel"):
        where = SPEC.child("podManagementPolicy")
        errors.invalid(where, policy, "must be 'OrderedReady' or 'Parallel'")
    _validate_strategy(spec.get("updateStrategy") or {}, errors)
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for field in ("whenDeleted", "whenScaled"):
        where = SPEC.child("persistentVolumeClaimRetentionPolicy", field)
        checks.one_of(retention.get(field, ""), ("Retain", "Delete"), where, errors)
    validate_counts(spec, errors, "replicas", "minReadySeconds")
    start = (spec.get("ordinals") or {}).get("start")
    checks.not_negative(start, SPEC.child("ordinals", "start"), errors)
    validate_selector(spec, "statefulset", errors)
    validate_template(spec, "StatefulSet", errors)
    if spec.get("serviceName"):
        checks.dns_label(spec["serviceName"], SPEC.child("serviceName"), errors)
    validate_counts(spec, errors, "revisionHistoryLimit")


def _validate_strategy(strategy: Obj, errors: ErrorList) -> None:
    path = SPEC.child("updateStrategy")
    type_, rolling = strategy.get("type") or "", strategy.get("rollingUpdate")
    if not checks.required(type_, path, errors):
        return
    if type_ == "OnDelete":
        if rolling is not None:
            message = "only allowed for updateStrategy 'RollingUpdate'"
            errors.invalid(path.child("rollingUpdate"), _rolling_in_go(rolling), message)
    elif type_ == "RollingUpdate":
        at = path.child("rollingUpdate")
        checks.not_negative((rolling or {}).get("partition"), at.child("partition"), errors)
        unavailable = (rolling or {}).get("maxUnavailable")
        if unavailable is not None:
            checks.int_or_percent(unavailable, at.child("maxUnavailable"), errors)
            if is_zero(unavailable):
                errors.invalid(at.child("maxUnavailable"), unavailable, "cannot be 0")
            checks.at_most_100_percent(unavailable, at.child("maxUnavailable"), errors)
    else:
        shown = {"Type": type_, "RollingUpdate": rolling and _rolling_in_go(rolling)}
        errors.invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")


def _rolling_in_go(rolling: Obj) -> Obj:
    """As upstream shows it: its internal type, by Go's field names."""
    return {
        "Partition": rolling.get("partition") or 0,
        "MaxUnavailable": rolling.get("maxUnavailable"),
    }


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours = {k: v for k, v in new["spec"].items() if k not in _MUTABLE}
    theirs = {k: v for k, v in old["spec"].items() if k not in _MUTABLE}
    if ours != theirs:
        listed = ", ".join(f"'{field}'" for field in _MUTABLE[:-1])
        message = (
            f"updates to statefulset spec for fields other than {listed} and '{_MUTABLE[-1]}' "
            "are forbidden"
        )
        errors.forbidden(SPEC, message)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    fields = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas")
    validate_status_counts(new, errors, *fields, "availableReplicas", "observedGeneration")
    validate_collisions(new, old, errors)
    status, path = new.get("status") or {}, Path("status")
    total, ready = status.get("replicas") or 0, status.get("readyReplicas") or 0
    for field in (*fields[1:], "availableReplicas"):
        count = status.get(field) or 0
        if count > total:
            errors.invalid(path.child(field), count, "cannot be greater than status.replicas")
    available = status.get("availableReplicas") or 0
    if available > ready:
        message = "cannot be greater than status.readyReplicas"
        errors.invalid(path.child("availableReplicas"), available, message)


STRATEGY = Strategy(
    warnings=workload_warnings,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    has_generation=True,
    name_rule="label",  # pods are called after the set, and their names are hosts' names
)
