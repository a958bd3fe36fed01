"""Rules that replica sets, deployments, daemon sets and stateful sets have in common."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_validation import validate_pod_template
from sagong.server.kinds.object_meta import validate_annotations
from sagong.server.kinds.selectors import (
    is_empty,
    validate_label_selector,
    validate_selects,
)

SPEC = Path("spec")


def validate_selector(spec: Obj, kind: str, errors: ErrorList) -> bool:
    """The selector is there and selects something; says whether it is fit for use."""
    selector, where = spec.get("selector"), SPEC.child("selector")
    before = len(errors)
    if selector is None:
        if kind != "daemonset":  # whose template is not selected then, which is said
            errors.required(where)
        return False
    validate_label_selector(selector, where, errors)
    if is_empty(selector):
        errors.invalid(where, selector, f"empty selector is invalid for {kind}")
    return len(errors) == before


def validate_template(spec: Obj, kind: str, errors: ErrorList) -> None:
    """The template is selected, is right, and its pods restart always and for ever."""
    template, path = spec.get("template") or {}, SPEC.child("template")
    selector = spec.get("selector")
    if selector is None or not is_empty(selector):
        labels = (template.get("metadata") or {}).get("labels") or {}
        validate_selects(selector, labels, path.child("metadata", "labels"), errors)
    if kind == "StatefulSet":
        # As upstream: mounts name volumes that only claims will bring, so pods are checked instead.
        metadata = template.get("metadata") or {}
        checks.labels(metadata.get("labels"), path.child("labels"), errors)
        validate_annotations(metadata.get("annotations") or {}, path.child("annotations"), errors)
    else:
        validate_pod_template(template, path, errors)
    validate_runs_for_ever(template, path, kind, errors)


def validate_runs_for_ever(template: Obj, path: Path, kind: str, errors: ErrorList) -> None:
    spec = template.get("spec") or {}
    policy = spec.get("restartPolicy") or ""
    if policy != "Always":
        errors.not_supported(path.child("spec", "restartPolicy"), policy, ["Always"])
    if spec.get("activeDeadlineSeconds") is not None:
        message = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.forbidden(path.child("spec", "activeDeadlineSeconds"), message)


def strategy_in_go(strategy: Obj) -> Obj:
    """A deployment's or daemon set's strategy as upstream shows it, by Go's field names."""
    rolling = strategy.get("rollingUpdate")
    return {
        "Type": strategy.get("type") or "",
        "RollingUpdate": rolling
        and {
            "MaxUnavailable": rolling.get("maxUnavailable", 0),
            "MaxSurge": rolling.get("maxSurge", 0),
        },
    }


def validate_counts(spec: Obj, errors: ErrorList, *fields: str) -> None:
    """Numbers that may not be negative."""
    for field in fields:
        checks.not_negative(spec.get(field), SPEC.child(field), errors)


def is_zero(value: int | str | None) -> bool:
    """Is a number or percentage nothing? What is not well-formed counts as nothing, too."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.removesuffix("%").isdecimal() or int(value.removesuffix("%")) == 0
    return value == 0


def validate_status_counts(obj: Obj, errors: ErrorList, *fields: str) -> None:
    status = obj.get("status") or {}
    for field in fields:
        checks.not_negative(status.get(field), Path("status").child(field), errors)


def validate_replica_status(obj: Obj, errors: ErrorList, *parts: str) -> None:
    """No part of the replicas is more than all of them."""
    validate_status_counts(obj, errors, "observedGeneration", "replicas", *parts)
    validate_status_counts(obj, errors, "readyReplicas", "availableReplicas")
    status, path = obj.get("status") or {}, Path("status")
    total = status.get("replicas") or 0
    for field in (*parts, "readyReplicas", "availableReplicas"):
        count = status.get(field) or 0
        if count > total:
            errors.invalid(path.child(field), count, "cannot be greater than status.replicas")
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        available = status["availableReplicas"]
        message = "cannot be greater than readyReplicas"
        errors.invalid(path.child("availableReplicas"), available, message)


def validate_collisions(new: Obj, old: Obj, errors: ErrorList) -> None:
    """The count of collisions of names only grows."""
    validate_status_counts(new, errors, "collisionCount")
    now = (new.get("status") or {}).get("collisionCount")
    before = (old.get("status") or {}).get("collisionCount")
    if before is not None and (now is None or now < before):
        where = Path("status").child("collisionCount")
        errors.invalid(where, now or 0, "cannot be decremented")
