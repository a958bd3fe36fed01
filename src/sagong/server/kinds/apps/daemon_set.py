"""Daemon sets."""

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
    validate_selector,
    validate_status_counts,
    validate_template,
)
from sagong.server.kinds.core.pod_warnings import workload_warnings
from sagong.server.kinds.strategy import Strategy

# apps/v1 has no templateGeneration field any more; the annotation carries it.
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_COUNTS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        if rolling.get("maxUnavailable") is None:
            rolling["maxUnavailable"] = 1
        if rolling.get("maxSurge") is None:
            rolling["maxSurge"] = 0
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    if TEMPLATE_GENERATION not in (obj["metadata"].get("annotations") or {}):
        _set_template_generation(obj, 0)  # so that whoever creates it owns the annotation
    status = obj.setdefault("status", {})
    for name in _COUNTS:
        status.setdefault(name, 0)


def _set_template_generation(obj: Obj, generation: int) -> None:
    annotations = obj["metadata"].get("annotations") or {}
    obj["metadata"]["annotations"] = {**annotations, TEMPLATE_GENERATION: str(generation)}


def template_generation(obj: Obj) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isdecimal() else 0


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = dict.fromkeys(_COUNTS, 0)
    _set_template_generation(obj, max(1, template_generation(obj)))


def prepare_for_update(new: Obj, old: Obj) -> None:
    """The template's generation counts changes of the template only; clients cannot set it."""
    changed = new["spec"]["template"] != old["spec"]["template"]
    _set_template_generation(new, template_generation(old) + (1 if changed else 0))


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    validate_selector(spec, "daemonset", errors)
    validate_template(spec, "DaemonSet", errors)
    validate_counts(spec, errors, "minReadySeconds")
    _validate_strategy(spec.get("updateStrategy") or {}, errors)
    validate_counts(spec, errors, "revisionHistoryLimit")


def _validate_strategy(strategy: Obj, errors: ErrorList) -> None:
    path = SPEC.child("updateStrategy")
    type_ = strategy.get("type") or ""
    if type_ not in ("OnDelete", "RollingUpdate"):
        errors.not_supported(path, strategy_in_go(strategy), ["RollingUpdate", "OnDelete"])
        return
    if type_ == "OnDelete":
        return
    rolling, at = strategy.get("rollingUpdate") or {}, path.child("rollingUpdate")
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    checks.int_or_percent(unavailable, at.child("maxUnavailable"), errors)
    checks.int_or_percent(surge, at.child("maxSurge"), errors)
    if not is_zero(unavailable) and not is_zero(surge):
        message = "may not be set when maxUnavailable is non-zero"
        errors.invalid(at.child("maxSurge"), surge, message)
    elif is_zero(unavailable) and is_zero(surge):
        errors.required(at.child("maxUnavailable"), "cannot be 0 when maxSurge is 0")
    checks.at_most_100_percent(unavailable, at.child("maxUnavailable"), errors)
    checks.at_most_100_percent(surge, at.child("maxSurge"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new["spec"].get("selector"), old["spec"].get("selector")
    checks.unchanged(ours, theirs, SPEC.child("selector"), errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    more = ("updatedNumberScheduled", "numberAvailable", "numberUnavailable")
    validate_status_counts(new, errors, *_COUNTS, "observedGeneration", *more)
    validate_collisions(new, old, errors)


STRATEGY = Strategy(
    warnings=workload_warnings,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    has_generation=True,
)
