"""HorizontalPodAutoscaler between autoscaling/v1 and v2.

What v1 cannot say (all metrics but CPU utilisation, behaviour, conditions) travels in annotations,
in v1's own metric form (upstream: pkg/apis/autoscaling/v1/conversion.go).
"""

from typing import Any

import orjson

from sagong.api.types import Obj

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS = _PREFIX + "metrics"
CURRENT_METRICS = _PREFIX + "current-metrics"
CONDITIONS = _PREFIX + "conditions"
BEHAVIOR = _PREFIX + "behavior"
_ANNOTATIONS = (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR)


def v2_from_v1(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = obj["metadata"].get("annotations") or {}
    metrics: list[Obj] = []
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    if percentage is not None:
        metrics.append(_cpu_metric(percentage))
    metrics += [_metric_from_v1(m, "target") for m in _decode(annotations.get(METRICS), [])]
    spec["metrics"] = metrics or [_cpu_metric(80)]
    behavior = _decode(annotations.get(BEHAVIOR), None)
    if behavior is not None:
        spec["behavior"] = behavior
    current = [_metric_from_v1(m, "current") for m in _decode(annotations.get(CURRENT_METRICS), [])]
    utilisation = status.pop("currentCPUUtilizationPercentage", None)
    if not current and utilisation is not None:
        resource = {"name": "cpu", "current": {"averageUtilization": utilisation}}
        current = [{"type": "Resource", "resource": resource}]
    status["currentMetrics"] = current or None
    conditions = _decode(annotations.get(CONDITIONS), None)
    if conditions:
        status["conditions"] = conditions
    return _rebuilt(obj, "autoscaling/v2", _without(annotations), spec, status)


def v1_from_v2(obj: Obj) -> Obj:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = _without(obj["metadata"].get("annotations") or {})
    others: list[Obj] = []
    for metric in spec.pop("metrics", None) or ():
        percentage = _cpu_utilisation(metric, "target")
        if percentage is not None:
            spec["targetCPUUtilizationPercentage"] = percentage
        else:
            others.append(_metric_to_v1(metric, "target"))
    current = status.pop("currentMetrics", None) or []
    for metric in current:
        utilisation = _cpu_utilisation(metric, "current")
        if utilisation is not None:
            status["currentCPUUtilizationPercentage"] = utilisation
    status.setdefault("currentReplicas", 0)
    for name, value in (
        (METRICS, others),
        (CURRENT_METRICS, [_metric_to_v1(m, "current") for m in current]),
        (CONDITIONS, status.pop("conditions", None)),
        (BEHAVIOR, spec.pop("behavior", None)),
    ):
        if value:
            annotations[name] = orjson.dumps(value).decode()
    return _rebuilt(obj, "autoscaling/v1", annotations, spec, status)


def _rebuilt(
    obj: Obj, api_version: str, annotations: dict[str, str], spec: Obj, status: Obj
) -> Obj:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    changed = {"apiVersion": api_version, "metadata": metadata, "spec": spec, "status": status}
    return {**obj, **changed}


def _without(annotations: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in annotations.items() if k not in _ANNOTATIONS}


def _decode(text: str | None, otherwise: Any) -> Any:
    """An annotation that does not parse is as good as absent, as upstream treats it."""
    if not text:
        return otherwise
    try:
        return orjson.loads(text)
    except ValueError:
        return otherwise


def _cpu_metric(percentage: int) -> Obj:
    target = {"type": "Utilization", "averageUtilization": percentage}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _cpu_utilisation(metric: Obj, part: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    value = (resource.get(part) or {}).get("averageUtilization")
    return None if value is None else int(value)


def _compact(obj: Obj) -> Obj:
    return {k: v for k, v in obj.items() if v is not None}


def _metric_to_v1(metric: Obj, part: str) -> Obj:
    """A v2 MetricSpec (part "target") or MetricStatus ("current") in v1's form."""
    source_name = metric["type"][0].lower() + metric["type"][1:]
    source = metric.get(source_name) or {}
    value = source.get(part) or {}
    named = source.get("metric") or {}
    average_value = part + "AverageValue"
    converted: Obj
    match source_name:
        case "object":
            converted = {
                "target": source.get("describedObject"),
                "metricName": named.get("name"),
                part + "Value": value.get("value") or "0",
                "selector": named.get("selector"),
                "averageValue": value.get("averageValue"),
            }
        case "pods":
            converted = {
                "metricName": named.get("name"),
                average_value: value.get("averageValue"),
                "selector": named.get("selector"),
            }
        case "external":
            converted = {
                "metricName": named.get("name"),
                "metricSelector": named.get("selector"),
                part + "Value": value.get("value"),
                average_value: value.get("averageValue"),
            }
        case _:
            converted = {
                "name": source.get("name"),
                part + "AverageUtilization": value.get("averageUtilization"),
                average_value: value.get("averageValue"),
                "container": source.get("container"),
            }
    return {"type": metric["type"], source_name: _compact(converted)}


def _metric_from_v1(metric: Obj, part: str) -> Obj:
    source_name = metric["type"][0].lower() + metric["type"][1:]
    source = metric.get(source_name) or {}
    utilisation = source.get(part + "AverageUtilization")
    average = source.get(part + "AverageValue") or source.get("averageValue")
    plain = source.get(part + "Value")
    value: Obj = {}
    if part == "target":
        value["type"] = _target_type(utilisation, average)
    if plain is not None and not (source_name == "object" and average is not None):
        value["value"] = plain
    if average is not None:
        value["averageValue"] = average
    if utilisation is not None:
        value["averageUtilization"] = utilisation
    if source_name in ("object", "pods", "external"):
        selector = source.get("selector") or source.get("metricSelector")
        named = _compact({"name": source.get("metricName"), "selector": selector})
        converted = {"metric": named, part: value}
        if source_name == "object":
            converted["describedObject"] = source.get("target") or {}
    else:
        converted = _compact({"name": source.get("name"), "container": source.get("container")})
        converted[part] = value
    return {"type": metric["type"], source_name: converted}


def _target_type(utilisation: object, average: object) -> str:
    if utilisation is not None:
        return "Utilization"
    return "AverageValue" if average is not None else "Value"
