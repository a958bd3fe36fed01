"""Metrics that adapters serve (custom.metrics.k8s.io, external.metrics.k8s.io). Decisions are pure.

Semantics: upstream's ``replica_calculator.go`` and ``horizontal.go`` for metrics of the types Pods,
Object and External. Amounts are thousandths.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sagong.api import errors
from sagong.api.call import Call, Listing, Options, Single, Verb
from sagong.api.quantities import Quantity, parse
from sagong.api.selectors import selector_from_object, shown_selector
from sagong.api.types import Obj, Resource
from sagong.controllers.autoscaling.usage import Sample, Tolerance, Unknown
from sagong.core.clock import parse_time
from sagong.ctl.controller import Env

CUSTOM = ("custom.metrics.k8s.io", ("v1beta2", "v1beta1"))
EXTERNAL = ("external.metrics.k8s.io", ("v1beta1",))
ADAPTED = frozenset({"Pods", "Object", "External"})
_WINDOW_SECONDS = 60.0  # of values that do not say over which time they were taken


@dataclass(frozen=True, slots=True)
class Scale:
    """The target's size: as asked for, as it is, and how many of its pods are ready."""

    wanted: int
    present: int
    ready: int


@dataclass(frozen=True, slots=True)
class Scaled:
    replicas: int
    status: Obj  # what the metric is now, as in status.currentMetrics


def part_of(metric: Obj) -> Obj:
    """The member that holds what the metric's type says."""
    type_ = metric["type"]
    part: Obj = metric[type_[0].lower() + type_[1:]]
    return part


def title_of(metric: Obj) -> str:
    """As the condition ScalingActive calls it."""
    part = part_of(metric)
    name = part["metric"]["name"]
    if metric["type"] == "Object":
        return f"{part['describedObject']['kind']} metric {name}"
    if metric["type"] == "External":
        return f"external metric {name}({shown_selector(part['metric'].get('selector'))})"
    return f"pods metric {name}"


def scale_by(metric: Obj, values: Sequence[Obj], scale: Scale, tolerance: Tolerance) -> Scaled:
    """What one Object or External metric asks for. Raises Unknown."""
    if not values:
        api = "external" if metric["type"] == "External" else "custom"
        raise Unknown(f"no metrics returned from {api} metrics API")
    part = part_of(metric)
    usage = sum(parse(value["value"]).milli_value for value in values)
    target = part["target"]
    if target.get("value") is not None:
        wanted = parse(target["value"]).milli_value
        replicas = _by_ratio(usage / wanted, scale, tolerance)
        return Scaled(replicas, _status(metric, "value", usage))
    if target.get("averageValue") is None:
        raise Unknown("neither a value target nor an average value target was set")
    each = parse(target["averageValue"]).milli_value
    replicas = scale.present
    if not scale.present or not tolerance.holds(usage / (each * scale.present)):
        replicas = math.ceil(usage / each)
    average = math.ceil(usage / scale.present) if scale.present else 0
    return Scaled(replicas, _status(metric, "averageValue", average))


def _by_ratio(ratio: float, scale: Scale, tolerance: Tolerance) -> int:
    if scale.wanted == 0:
        return math.ceil(ratio)  # From nothing to as many as the ratio says, or to stay so.
    if tolerance.holds(ratio):
        return scale.wanted
    return math.ceil(ratio * scale.ready)


def _status(metric: Obj, field: str, milli: int) -> Obj:
    part, type_ = part_of(metric), metric["type"]
    current: Obj = {"metric": part["metric"], "current": {field: str(Quantity.of_milli(milli))}}
    if type_ == "Object":
        current["describedObject"] = part["describedObject"]
    return {"type": type_, type_[0].lower() + type_[1:]: current}


def pods_status(metric: Obj, average_milli: int) -> Obj:
    return _status(metric, "averageValue", average_milli)


def samples_of(values: Sequence[Obj]) -> Mapping[str, Sample]:
    """Of a metric of pods, a sample for each pod that has a value."""
    return {
        value["describedObject"]["name"]: Sample(
            parse(value["value"]).milli_value,
            parse_time(value["timestamp"]),
            float(value.get("windowSeconds") or _WINDOW_SECONDS),
        )
        for value in values
    }


def failure_of(metric: Obj, namespace: str, problem: str) -> str:
    """What the user is told of a metric that could not be had."""
    part, type_ = part_of(metric), metric["type"]
    name = part["metric"]["name"]
    if type_ == "External":
        selector = shown_selector(part["metric"].get("selector"))
        inner = f"unable to get external metric {namespace}/{name}/{selector}: {problem}"
        failing = f"failed to get {name} external metric"
        return f"{failing} value: {failing}: {inner}"
    if type_ == "Object":
        described = part["describedObject"]
        place = f"{namespace} {described['name']}"
        inner = f"unable to get metric {name}: {described['kind']} on {place}/{problem}"
        return f"failed to get object metric value: {inner}"
    return f"failed to get pods metric value: unable to get metric {name}: {problem}"


# Fetching


async def fetch(metric: Obj, namespace: str, selector: str, env: Env) -> Sequence[Obj] | str:
    """The values of a metric now, or why there are none. ``selector`` is the target's pods'."""
    part, type_ = part_of(metric), metric["type"]
    name = part["metric"]["name"]
    wanted = part["metric"].get("selector")
    metric_labels = str(selector_from_object(wanted)) if wanted else ""
    if type_ == "External":
        options = Options(label_selector=metric_labels)
        return await _ask(env, EXTERNAL, Resource("", "", name, "", True), namespace, "", options)
    options = Options(metric_label_selector=metric_labels)
    if type_ == "Pods":
        options = Options(label_selector=selector, metric_label_selector=metric_labels)
        return await _ask(
            env, CUSTOM, Resource("", "", "pods", "", True), namespace, f"*/{name}", options
        )
    described = part["describedObject"]
    found = env.client.resources.of_kind(described.get("apiVersion") or "v1", described["kind"])
    if found is None:
        return f'no matches for kind "{described["kind"]}"'
    plural = f"{found.plural}.{found.group}" if found.group else found.plural
    path = f"{described['name']}/{name}"
    resource = Resource("", "", plural, "", found.namespaced)
    if described["kind"] == "Namespace":
        resource, path = Resource("", "", "metrics", "", True), name
    return await _ask(env, CUSTOM, resource, namespace, path, options)


async def _ask(
    env: Env,
    api: tuple[str, tuple[str, ...]],
    resource: Resource,
    namespace: str,
    path: str,
    options: Options,
) -> Sequence[Obj] | str:
    """By the newest version that is served."""
    group, versions = api
    name, _, subresource = path.partition("/")
    problem = ""
    for version in versions:
        served = replace(
            resource, group=group, version=version, kind="MetricValueList", verbs=("get",)
        )
        call = Call(
            Verb.GET,
            replace(served, verbs=("get",)),
            namespace=namespace if resource.namespaced else None,
            name=name,
            subresource=subresource,
            options=options,
        )
        try:
            return _items(await env.client.transport.send(call))
        except errors.NotFound as error:
            problem = error.message
        except errors.ApiError as error:
            problem = error.message
            break
    return f"unable to fetch metrics from {group.partition('.')[0]} metrics API: {problem}"


def _items(answer: object) -> Sequence[Obj]:
    if isinstance(answer, Listing):
        return [item.obj for item in answer.items]
    assert isinstance(answer, Single)
    return list(answer.obj.get("items") or ())
