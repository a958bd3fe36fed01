"""Autoscaling from end to end, by metrics of an adapter that the test plays."""

import pytest

from sagong.api.call import Answer, Call, Single
from sagong.api.meta import condition
from sagong.api.types import Encoded, Obj
from sagong.core.clock import format_time
from sagong.sim.loop import run_virtual

from .world import EPOCH, World, template, workload, world

AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
DEPLOYMENTS = "deployments.apps"


class Queue:
    """An adapter with one value of each kind of metric."""

    def __init__(self) -> None:
        self.waiting = 0
        self.asked: list[str] = []

    def __call__(self, call: Call) -> Answer | None:
        if not call.resource.group.endswith((".metrics.k8s.io",)):
            return None
        path = call.resource.path(call.namespace, call.name, call.subresource)
        self.asked.append(path)
        stamp = format_time(EPOCH)
        item: Obj = {"timestamp": stamp, "value": str(self.waiting)}
        if call.resource.group.startswith("custom"):
            item["describedObject"] = {"kind": "Service", "name": call.name}
        kind = {"kind": "MetricValueList", "apiVersion": call.resource.api_version}
        return Single(Encoded(kind | {"metadata": {}, "items": [item]}))


def autoscaler(metric: Obj, **spec: object) -> Obj:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    rules = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    common = {"scaleTargetRef": target, "maxReplicas": 10, "metrics": [metric], "behavior": rules}
    return workload("autoscaling/v2", "HorizontalPodAutoscaler", "web", **common, **spec)


EXTERNAL = {
    "type": "External",
    "external": {
        "metric": {"name": "waiting", "selector": {"matchLabels": {"queue": "mail"}}},
        "target": {"type": "AverageValue", "averageValue": "5"},
    },
}
OBJECT = {
    "type": "Object",
    "object": {
        "metric": {"name": "waiting"},
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "mail"},
        "target": {"type": "Value", "value": "5"},
    },
}


@pytest.mark.parametrize(
    ("metric", "path"),
    [
        (EXTERNAL, "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/waiting"),
        (OBJECT, "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/services/mail/waiting"),
    ],
)
def test_a_deployment_sleeps_without_work(metric: Obj, path: str) -> None:
    queue = Queue()

    async def test(seen: World) -> None:
        selector = {"matchLabels": {"app": "web"}}
        spec = {"replicas": 1, "selector": selector, "template": template("web")}
        await seen.create(DEPLOYMENTS, workload("apps/v1", "Deployment", "web", **spec))
        await seen.create(AUTOSCALERS, autoscaler(metric, minReplicas=0))

        def size() -> int:
            return int(seen.get(DEPLOYMENTS, "web")["spec"]["replicas"])

        await seen.wait(lambda: size() == 0 and not seen.pods())
        found = seen.get(AUTOSCALERS, "web")
        active = condition(found, "ScalingActive")
        assert active is not None
        assert active["reason"] == "ValidMetricFound"
        queue.waiting = 12
        await seen.wait(lambda: size() == 3 and len(seen.pods()) == 3)
        queue.waiting = 0
        await seen.wait(lambda: size() == 0 and not seen.pods())
        assert set(queue.asked) == {path}
        assert seen.status(AUTOSCALERS, "web")["desiredReplicas"] == 0

    async def main() -> None:
        async with world(nodes=2, adapter=queue) as seen:
            await test(seen)

    run_virtual(main(), 0)


def test_without_an_adapter_it_says_so() -> None:
    async def main() -> None:
        async with world(nodes=1) as seen:
            selector = {"matchLabels": {"app": "web"}}
            spec = {"replicas": 2, "selector": selector, "template": template("web")}
            await seen.create(DEPLOYMENTS, workload("apps/v1", "Deployment", "web", **spec))
            await seen.create(AUTOSCALERS, autoscaler(EXTERNAL))
            await seen.wait(lambda: bool(seen.events("FailedGetExternalMetric")))
            [text] = seen.events("FailedGetExternalMetric")
            assert text.endswith(
                "unable to fetch metrics from external metrics API: "
                "the server could not find the requested resource"
            )
            assert seen.get(DEPLOYMENTS, "web")["spec"]["replicas"] == 2

    run_virtual(main(), 0)
