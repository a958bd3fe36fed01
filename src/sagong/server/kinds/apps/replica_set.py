"""Replica sets."""

from collections.abc import Mapping

from sagong.api.pod_defaults import default_pod_template
from sagong.api.types import Obj
from sagong.api.validation import ErrorList
from sagong.server.kinds import checks
from sagong.server.kinds.apps.workload_rules import (
    SPEC,
    validate_counts,
    validate_replica_status,
    validate_selector,
    validate_template,
)
from sagong.server.kinds.core.pod_warnings import replicated_warnings
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    obj.setdefault("status", {}).setdefault("replicas", 0)


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"replicas": 0}


def selectable_fields(obj: Obj) -> Mapping[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    validate_counts(spec, errors, "replicas", "minReadySeconds")
    validate_selector(spec, "deployment", errors)
    validate_template(spec, "ReplicaSet", errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new["spec"].get("selector"), old["spec"].get("selector")
    checks.unchanged(ours, theirs, SPEC.child("selector"), errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    validate_replica_status(new, errors, "fullyLabeledReplicas")


STRATEGY = Strategy(
    warnings=replicated_warnings,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    selectable_fields=selectable_fields,
    selectable_field_names=("status.replicas",),
    has_generation=True,
)
