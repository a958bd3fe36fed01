"""The rows of apps, batch, autoscaling and policy."""

from collections.abc import Mapping
from typing import Any

from sagong.api.meta import condition, controller_of, is_deleting
from sagong.api.tables import cells
from sagong.api.tables.column import AGE, NAME, Printer, boolean, integer, text, wide
from sagong.api.types import Obj
from sagong.core.clock import parse_time

_METRICS_SHOWN = 2  # of an autoscaler's targets; the rest is counted


def _template_cells(spec: Obj) -> list[str]:
    return cells.containers((spec.get("template") or {}).get("spec") or {})


def _controllerrevision(obj: Obj, now: float) -> list[Any]:
    owner = controller_of(obj)
    controller = cells.NONE
    if owner:
        group = owner["apiVersion"].rpartition("/")[0]
        kind = owner["kind"].lower()
        controller = f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return [cells.name(obj), controller, obj.get("revision", 0), cells.age(obj, now)]


def _daemonset(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        cells.name(obj),
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        cells.labels(((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")),
        cells.age(obj, now),
        *_template_cells(spec),
        cells.selector(spec.get("selector")),
    ]


def _deployment(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        cells.name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        cells.age(obj, now),
        *_template_cells(spec),
        cells.selector(spec.get("selector")),
    ]


def _replicaset(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        cells.name(obj),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        cells.age(obj, now),
        *_template_cells(spec),
        cells.selector(spec.get("selector")),
    ]


def _statefulset(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}"
    return [cells.name(obj), ready, cells.age(obj, now), *_template_cells(spec)]


def _job_status(obj: Obj) -> str:
    def holds(type_: str) -> bool:
        found = condition(obj, type_)
        return found is not None and found["status"] == "True"

    for type_, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if holds(type_):
            return word
    if is_deleting(obj):
        return "Terminating"
    for type_, word in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if holds(type_):
            return word
    return "Running"


def _job_completions(obj: Obj) -> str:
    spec, succeeded = obj["spec"], (obj.get("status") or {}).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(obj: Obj, now: float) -> str:
    status = obj.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = parse_time(status["completionTime"]) if status.get("completionTime") else now
    return cells.human_duration(end - parse_time(status["startTime"]))


def _job(obj: Obj, now: float) -> list[Any]:
    return [
        cells.name(obj),
        _job_status(obj),
        _job_completions(obj),
        _job_duration(obj, now),
        cells.age(obj, now),
        *_template_cells(obj["spec"]),
        cells.selector(obj["spec"].get("selector")),
    ]


def _cronjob(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    last = status.get("lastScheduleTime")
    return [
        cells.name(obj),
        spec.get("schedule", ""),
        cells.NONE if spec.get("timeZone") is None else spec["timeZone"],
        cells.pointer(spec.get("suspend")).capitalize(),
        len(status.get("active") or ()),
        cells.since(last, now) if last else cells.NONE,
        cells.age(obj, now),
        *_template_cells(job_spec),
        cells.selector(job_spec.get("selector")),
    ]


def _metric_value(target: Obj, current: Obj | None, fields: tuple[str, ...]) -> str:
    """``current/target`` of one metric by the first of the fields that its target has."""
    for field in fields:
        if target.get(field) is None:
            continue
        suffix = "%" if field == "averageUtilization" else ""
        average = " (avg)" if field == "averageValue" else ""
        value = (current or {}).get(field)
        shown = cells.UNKNOWN if value is None else f"{value}{suffix}"
        return f"{shown}/{target[field]}{suffix}{average}"
    return f"{cells.UNKNOWN}/<auto>"


_METRIC_SOURCES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Resource": ("resource", ("averageValue", "averageUtilization")),
    "ContainerResource": ("containerResource", ("averageValue", "averageUtilization")),
    "Pods": ("pods", ("averageValue",)),
    "Object": ("object", ("averageValue", "value")),
    "External": ("external", ("averageValue", "value")),
}


def _targets(specs: list[Obj], statuses: list[Obj]) -> str:
    if not specs:
        return cells.NONE
    shown = []
    for index, metric in enumerate(specs[:_METRICS_SHOWN]):
        source, fields = _METRIC_SOURCES.get(metric["type"], ("", ()))
        spec = metric.get(source) or {}
        status = statuses[index].get(source) if index < len(statuses) else None
        value = _metric_value(spec.get("target") or {}, (status or {}).get("current"), fields)
        shown.append(f"{spec['name']}: {value}" if source.endswith("esource") else value)
    more = len(specs) - _METRICS_SHOWN
    return ", ".join(shown) + (f" + {more} more..." if more > 0 else "")


def _autoscaler(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    return [
        cells.name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _targets(spec.get("metrics") or [], status.get("currentMetrics") or []),
        cells.pointer(spec.get("minReplicas")),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        cells.age(obj, now),
    ]


def _budget(obj: Obj, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    return [
        cells.name(obj),
        cells.int_or_string(spec.get("minAvailable")),
        cells.int_or_string(spec.get("maxUnavailable")),
        status.get("disruptionsAllowed", 0),
        cells.age(obj, now),
    ]


_WIDE_TEMPLATE = wide("Containers", "Images", "Selector")

PRINTERS = {
    "controllerrevisions.apps": Printer(
        [NAME, *text("Controller", "Revision"), AGE], _controllerrevision
    ),
    "daemonsets.apps": Printer(
        [
            NAME,
            *integer("Desired", "Current", "Ready", "Up-to-date", "Available"),
            *text("Node Selector"),
            AGE,
            *_WIDE_TEMPLATE,
        ],
        _daemonset,
    ),
    "deployments.apps": Printer(
        [NAME, *text("Ready", "Up-to-date", "Available"), AGE, *_WIDE_TEMPLATE], _deployment
    ),
    "replicasets.apps": Printer(
        [NAME, *integer("Desired", "Current", "Ready"), AGE, *_WIDE_TEMPLATE], _replicaset
    ),
    "statefulsets.apps": Printer(
        [NAME, *text("Ready"), AGE, *wide("Containers", "Images")], _statefulset
    ),
    "jobs.batch": Printer(
        [NAME, *text("Status", "Completions", "Duration"), AGE, *_WIDE_TEMPLATE], _job
    ),
    "cronjobs.batch": Printer(
        [
            NAME,
            *text("Schedule", "Timezone"),
            *boolean("Suspend"),
            *integer("Active"),
            *text("Last Schedule"),
            AGE,
            *_WIDE_TEMPLATE,
        ],
        _cronjob,
    ),
    "horizontalpodautoscalers.autoscaling": Printer(
        [NAME, *text("Reference", "Targets", "MinPods", "MaxPods", "Replicas"), AGE], _autoscaler
    ),
    "poddisruptionbudgets.policy": Printer(
        [
            NAME,
            *text("Min Available", "Max Unavailable"),
            *integer("Allowed Disruptions"),
            AGE,
        ],
        _budget,
    ),
}
