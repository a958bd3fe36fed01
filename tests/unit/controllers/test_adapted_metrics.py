"""Autoscaling by metrics that adapters serve: of pods, of objects, from outside."""

from typing import Any

import pytest

from sagong.api.types import Obj
from sagong.controllers.autoscaling.horizontal import Seen, plan
from sagong.controllers.autoscaling.pace import History
from sagong.controllers.autoscaling.usage import Tolerance, Unknown
from sagong.controllers.autoscaling.values import Scale, failure_of, scale_by, title_of
from sagong.core.clock import format_time

from .objects import NOW, meta, pod


def external(**target: str) -> Obj:
    selector = {"matchLabels": {"queue": "mail"}}
    part = {"metric": {"name": "waiting", "selector": selector}, "target": target}
    return {"type": "External", "external": part}


def of_object(**target: str) -> Obj:
    described = {"kind": "Ingress", "name": "main", "apiVersion": "networking.k8s.io/v1"}
    part = {"metric": {"name": "hits"}, "describedObject": described, "target": target}
    return {"type": "Object", "object": part}


def of_pods(value: str) -> Obj:
    target = {"type": "AverageValue", "averageValue": value}
    return {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": target}}


@pytest.mark.parametrize(
    ("metric", "amounts", "scale", "replicas"),
    [
        (external(value="10"), ["20"], Scale(3, 3, 3), 6),
        (external(value="10"), ["6", "5"], Scale(3, 3, 3), 3),  # within a tenth
        (external(value="10"), ["20"], Scale(3, 3, 2), 4),  # of those that are ready
        (external(value="10"), ["0"], Scale(3, 3, 3), 0),
        (external(value="10"), ["0"], Scale(0, 0, 0), 0),
        (external(value="10"), ["1"], Scale(0, 0, 0), 1),
        (external(value="10"), ["25"], Scale(0, 0, 0), 3),
        (external(averageValue="5"), ["21"], Scale(2, 2, 2), 5),
        (external(averageValue="5"), ["10500m"], Scale(2, 2, 2), 2),
        (external(averageValue="5"), ["0"], Scale(2, 2, 2), 0),
        (external(averageValue="5"), ["7"], Scale(0, 0, 0), 2),
        (of_object(value="100"), ["250"], Scale(2, 2, 2), 5),
        (of_object(averageValue="100"), ["250"], Scale(1, 1, 1), 3),
    ],
)
def test_values_ask_for_replicas(
    metric: Obj, amounts: list[str], scale: Scale, replicas: int
) -> None:
    values = [{"value": amount} for amount in amounts]
    assert scale_by(metric, values, scale, Tolerance()).replicas == replicas


def test_what_is_reported() -> None:
    scaled = scale_by(external(averageValue="5"), [{"value": "21"}], Scale(2, 2, 2), Tolerance())
    assert scaled.status == {
        "type": "External",
        "external": {
            "metric": external()["external"]["metric"],
            "current": {"averageValue": "10500m"},
        },
    }
    scaled = scale_by(of_object(value="100"), [{"value": "250"}], Scale(2, 2, 2), Tolerance())
    assert scaled.status["object"]["current"] == {"value": "250"}
    assert scaled.status["object"]["describedObject"]["name"] == "main"
    with pytest.raises(Unknown, match="no metrics returned from external metrics API"):
        scale_by(external(value="1"), [], Scale(1, 1, 1), Tolerance())


def test_words() -> None:
    selector = (
        "&LabelSelector{MatchLabels:map[string]string{queue: mail,},"
        "MatchExpressions:[]LabelSelectorRequirement{},}"
    )
    assert title_of(external()) == f"external metric waiting({selector})"
    assert title_of(of_object()) == "Ingress metric hits"
    assert title_of(of_pods("1")) == "pods metric hits"
    assert failure_of(external(), "n", "gone") == (
        "failed to get waiting external metric value: failed to get waiting external metric: "
        f"unable to get external metric n/waiting/{selector}: gone"
    )
    assert failure_of(of_object(), "n", "gone") == (
        "failed to get object metric value: unable to get metric hits: Ingress on n main/gone"
    )
    assert failure_of(of_pods("1"), "n", "gone") == (
        "failed to get pods metric value: unable to get metric hits: gone"
    )


def seen(current: int, metric: Obj, values: Any, least: int = 0) -> Seen:
    spec = {"minReplicas": least, "maxReplicas": 10, "metrics": [metric]}
    pods = [pod(f"p{i}") for i in range(current)]
    return Seen({"metadata": meta("h"), "spec": spec}, current, pods, "none", {0: values}, current)


def test_a_target_rests_at_zero_and_wakes() -> None:
    def wanted(found: Seen) -> tuple[int, bool]:
        decided = plan(found, History(), now=NOW, monotonic=0)
        return decided.replicas, decided.conditions["ScalingActive"][0]

    assert wanted(seen(0, external(averageValue="5"), [{"value": "0"}])) == (0, True)
    assert wanted(seen(0, external(averageValue="5"), [{"value": "12"}])) == (3, True)
    # Without the wish for zero, somebody else has switched it off.
    assert wanted(seen(0, external(averageValue="5"), [{"value": "12"}], least=1)) == (0, False)
    assert wanted(seen(3, external(averageValue="5"), "gone")) == (3, False)


def test_values_of_pods() -> None:
    values = [
        {
            "describedObject": {"kind": "Pod", "name": f"p{i}"},
            "metric": {"name": "hits"},
            "timestamp": format_time(NOW),
            "value": amount,
        }
        for i, amount in enumerate(("30", "50"))
    ]
    decided = plan(seen(2, of_pods("20"), values), History(), now=NOW, monotonic=0)
    assert decided.replicas == 4
    assert decided.statuses == [
        {"type": "Pods", "pods": {"metric": {"name": "hits"}, "current": {"averageValue": "40"}}}
    ]
