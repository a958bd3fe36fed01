"""Objects that are served in two versions and stored in one."""

import orjson

from sagong.api.meta import deep_copy
from sagong.api.resources import BUILT_IN
from sagong.api.types import Obj, Resource
from sagong.server.kinds.conversion import from_storage, storage_resource, to_storage


def served(api_version: str, plural: str) -> Resource:
    return next(r for r in BUILT_IN if (r.api_version, r.plural) == (api_version, plural))


AUTOSCALERS = served("autoscaling/v1", "horizontalpodautoscalers")
EVENTS = served("events.k8s.io/v1", "events")


def autoscaler(**spec: object) -> Obj:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "annotations": {"mine": "kept"}},
        "spec": {"maxReplicas": 3, "minReplicas": 1, "scaleTargetRef": reference, **spec},
        "status": {"currentMetrics": None, "currentReplicas": 0, "desiredReplicas": 0},
    }


def cpu(percentage: int) -> Obj:
    target = {"type": "Utilization", "averageUtilization": percentage}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
}
PODS = {
    "type": "Pods",
    "pods": {
        "metric": {"name": "rps"},
        "target": {"type": "AverageValue", "averageValue": "10"},
    },
}
OBJECT = {
    "type": "Object",
    "object": {
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "s"},
        "metric": {"name": "hits"},
        "target": {"type": "Value", "value": "5"},
    },
}


def test_only_the_versions_that_differ_are_converted() -> None:
    pods = served("v1", "pods")
    obj: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {}}

    assert storage_resource(pods) is pods
    assert to_storage(obj, pods) is obj
    assert from_storage(obj, pods) is obj
    assert storage_resource(AUTOSCALERS).version == "v2"
    assert storage_resource(EVENTS).name == "events"


def test_v1_shows_cpu_as_a_number() -> None:
    shown = from_storage(autoscaler(metrics=[cpu(50)]), AUTOSCALERS)

    assert shown["apiVersion"] == "autoscaling/v1"
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 50
    assert "metrics" not in shown["spec"]
    assert shown["metadata"]["annotations"] == {"mine": "kept"}


def test_what_v1_cannot_say_survives_it() -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 1}}
    stored = autoscaler(metrics=[cpu(50), MEMORY, PODS, OBJECT], behavior=behavior)
    before = deep_copy(stored)

    shown = from_storage(stored, AUTOSCALERS)

    metrics = orjson.loads(
        shown["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"]
    )
    assert metrics[0] == {
        "type": "Resource",
        "resource": {"name": "memory", "targetAverageValue": "1Gi"},
    }
    assert to_storage(shown, AUTOSCALERS) == before
    assert stored == before


def test_v1_without_a_metric_means_eighty_percent_cpu() -> None:
    body = from_storage(autoscaler(metrics=[]), AUTOSCALERS)

    assert to_storage(body, AUTOSCALERS)["spec"]["metrics"] == [cpu(80)]


def test_an_event_goes_through_its_newer_form_unchanged() -> None:
    event: Obj = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "Pod", "name": "p"},
        "reason": "R",
        "message": "m",
        "source": {"component": "c"},
        "count": 2,
        "firstTimestamp": None,
        "reportingComponent": "r",
        "reportingInstance": "i",
    }

    shown = from_storage(event, EVENTS)

    assert (shown["regarding"], shown["note"]) == (event["involvedObject"], "m")
    assert shown["deprecatedCount"] == 2
    assert shown["reportingController"] == "r"
    assert to_storage(shown, EVENTS) == event
