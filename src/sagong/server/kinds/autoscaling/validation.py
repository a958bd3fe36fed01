"""Validation of horizontal pod autoscalers (v2)."""

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.selectors import validate_label_selector

_SPEC = Path("spec")
_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_WINDOW_SECONDS_MAX = 3600
_PERIOD_SECONDS_MAX = 1800


def validate_autoscaler(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < (0 if _can_rest(spec) else 1):
        message = "must be greater than or equal to 1"
        errors.invalid(_SPEC.child("minReplicas"), least, message)
    if most < 1:
        errors.invalid(_SPEC.child("maxReplicas"), most, "must be greater than 0")
    if least is not None and most < least:
        message = "must be greater than or equal to `minReplicas`"
        errors.invalid(_SPEC.child("maxReplicas"), most, message)
    _validate_reference(spec.get("scaleTargetRef") or {}, _SPEC.child("scaleTargetRef"), errors)
    for i, metric in enumerate(spec.get("metrics") or ()):
        _validate_metric(metric, _SPEC.child("metrics").index(i), errors)
    for name in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(name)
        if rules is not None:
            _validate_rules(rules, _SPEC.child("behavior", name), errors)


def _can_rest(spec: Obj) -> bool:
    """Whether a metric remains that says when to wake a target without pods."""
    return any(m.get("type") in ("Object", "External") for m in spec.get("metrics") or ())


def _validate_reference(
    reference: Obj, path: Path, errors: ErrorList, *, needs_group: bool = True
) -> None:
    for field in ("kind", "name"):
        value = reference.get(field) or ""
        if checks.required(value, path.child(field), errors):
            checks.name(value, names.path_segment_name, path.child(field), errors)
    version, where = reference.get("apiVersion") or "", path.child("apiVersion")
    group = version.rpartition("/")[0]
    if version.count("/") > 1:
        errors.invalid(where, version, f"unexpected GroupVersion string: {version}")
    elif needs_group and not group and reference.get("kind") != "ReplicationController":
        errors.invalid(where, version, "apiVersion must specify API group")


def _validate_metric(metric: Obj, path: Path, errors: ErrorList) -> None:
    type_ = metric.get("type") or ""
    if not type_:
        errors.required(path.child("type"), "must specify a metric source type")
    else:
        checks.one_of(type_, _TYPES, path.child("type"), errors)
    expected = type_[:1].lower() + type_[1:]
    for name in ("object", "external", "pods", "resource", "containerResource"):
        if metric.get(name) is not None and name != expected and type_ in _TYPES:
            errors.forbidden(path.child(name), "must populate the given metric source only")
    if type_ not in _TYPES:
        return
    source, at = metric.get(expected), path.child(expected)
    if source is None:
        message = "must populate information for the given metric source"
        errors.required(at, message)
        return
    if expected in ("resource", "containerResource"):
        checks.required(
            source.get("name"), at.child("name"), errors, "must specify a resource name"
        )
        if expected == "containerResource":
            message = "must specify a container"
            checks.required(source.get("container"), at.child("container"), errors, message)
    else:
        _validate_identifier(source.get("metric") or {}, at.child("metric"), errors)
    if expected == "object":
        # A Service, as others of the core group, may well be described.
        described = source.get("describedObject") or {}
        _validate_reference(described, at.child("describedObject"), errors, needs_group=False)
    _validate_target(source.get("target") or {}, expected, at.child("target"), errors)


def _validate_identifier(metric: Obj, path: Path, errors: ErrorList) -> None:
    name = metric.get("name") or ""
    if checks.required(name, path.child("name"), errors):
        checks.name(name, names.path_segment_name, path.child("name"), errors)
    validate_label_selector(metric.get("selector"), path.child("selector"), errors)


def _validate_target(target: Obj, source: str, path: Path, errors: ErrorList) -> None:
    type_ = target.get("type") or ""
    types = ("AverageValue", "Utilization", "Value")
    if not type_:
        errors.required(path.child("type"), "must specify a metric target type")
    elif type_ not in types:
        message = "must be either Utilization, Value, or AverageValue"
        errors.invalid(path.child("type"), type_, message)
    for field in ("value", "averageValue"):
        if target.get(field) is not None and checks.quantity(target[field]).nano <= 0:
            errors.invalid(path.child(field), str(target[field]), "must be positive")
    utilisation = target.get("averageUtilization")
    if utilisation is not None and utilisation < 1:
        message = "must be greater than 0"
        errors.invalid(path.child("averageUtilization"), utilisation, message)
    average = target.get("averageValue")
    if source in ("resource", "containerResource"):
        if utilisation is None and average is None:
            message = "must specify either a target raw value or a target utilization"
            errors.required(path.child("averageUtilization"), message)
        elif utilisation is not None and average is not None:
            message = "may not set both a target raw value and a target utilization"
            errors.forbidden(path.child("averageValue"), message)
    elif source == "pods":
        if average is None or checks.quantity(average).nano <= 0:
            message = "must specify a positive target averageValue"
            errors.required(path.child("averageValue"), message)
    elif target.get("value") is None and average is None:
        message = "must set either a target value for metric or a per-pod target"
        errors.required(path.child("averageValue"), message)
    elif source == "external" and target.get("value") is not None and average is not None:
        message = "may not set both a target value for metric and a per-pod target"
        errors.forbidden(path.child("value"), message)


def _validate_rules(rules: Obj, path: Path, errors: ErrorList) -> None:
    window = rules.get("stabilizationWindowSeconds")
    where = path.child("stabilizationWindowSeconds")
    if window is not None and window < 0:
        errors.invalid(where, window, "must be greater than or equal to zero")
    if window is not None and window > _WINDOW_SECONDS_MAX:
        message = f"must be less than or equal to {_WINDOW_SECONDS_MAX}"
        errors.invalid(where, window, message)
    if rules.get("selectPolicy") is not None:
        policies = ("Disabled", "Max", "Min")
        checks.one_of(rules["selectPolicy"], policies, path.child("selectPolicy"), errors)
    policies_path = path.child("policies")
    if not rules.get("policies"):
        errors.required(policies_path, "must specify at least one Policy")
    for i, policy in enumerate(rules.get("policies") or ()):
        at = policies_path.index(i)
        checks.one_of(policy.get("type", ""), ("Percent", "Pods"), at.child("type"), errors)
        if (policy.get("value") or 0) <= 0:
            message = "must be greater than zero"
            errors.invalid(at.child("value"), policy.get("value") or 0, message)
        period = policy.get("periodSeconds") or 0
        if period <= 0:
            errors.invalid(at.child("periodSeconds"), period, "must be greater than zero")
        if period > _PERIOD_SECONDS_MAX:
            message = f"must be less than or equal to {_PERIOD_SECONDS_MAX}"
            errors.invalid(at.child("periodSeconds"), period, message)
    tolerance = rules.get("tolerance")
    if tolerance is not None:
        checks.not_negative_quantity(tolerance, path.child("tolerance"), errors)
