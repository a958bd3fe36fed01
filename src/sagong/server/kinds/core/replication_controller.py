"""Replication controllers."""

from collections.abc import Mapping

from sagong.api.pod_defaults import default_pod_template
from sagong.api.types import Obj
from sagong.api.validation import ErrorList
from sagong.server.kinds import checks
from sagong.server.kinds.apps.workload_rules import (
    SPEC,
    validate_counts,
    validate_replica_status,
    validate_runs_for_ever,
)
from sagong.server.kinds.core.pod_validation import validate_pod_template
from sagong.server.kinds.core.pod_warnings import replicated_warnings
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    template = spec.get("template")
    if template is not None:
        default_pod_template(template)
        labels = template["metadata"].get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    obj.setdefault("status", {}).setdefault("replicas", 0)


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"replicas": 0}


def selectable_fields(obj: Obj) -> Mapping[str, str]:
    return {"status.replicas": str((obj.get("status") or {}).get("replicas", 0))}


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    validate_counts(spec, errors, "minReadySeconds")
    selector, template = spec.get("selector") or {}, spec.get("template")
    checks.required(selector, SPEC.child("selector"), errors)
    validate_counts(spec, errors, "replicas")
    where = SPEC.child("template")
    if template is None:
        errors.required(where)
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and any(labels.get(k) != v for k, v in selector.items()):
        message = "`selector` does not match template `labels`"
        errors.invalid(where.child("metadata", "labels"), labels or None, message)
    validate_pod_template(template, where, errors)
    validate_runs_for_ever(template, where, "ReplicationController", errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    validate_replica_status(new, errors, "fullyLabeledReplicas")


STRATEGY = Strategy(
    warnings=replicated_warnings,
    validate=validate,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    selectable_fields=selectable_fields,
    selectable_field_names=("status.replicas",),
    has_generation=True,
    default_propagation="orphan",
)
