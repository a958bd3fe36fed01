"""Autoscaling: what use asks for, and how fast it is followed."""

import pytest

from sagong.api.types import Obj
from sagong.controllers.autoscaling.horizontal import Seen, plan
from sagong.controllers.autoscaling.pace import Bounds, History, Moment, pace
from sagong.controllers.autoscaling.usage import (
    Sample,
    Target,
    Tolerance,
    Unknown,
    propose,
    samples_of,
)
from sagong.core.clock import format_time

from .objects import NOW, meta, pod


def running(name: str, **more: object) -> Obj:
    found = pod(name, ready_for=500)
    found["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1", "memory": "1k"}}
    found["status"]["startTime"] = format_time(NOW - 600)
    found["status"] |= more
    return found


def used(*milli: int) -> dict[str, Sample]:
    return {f"p{i}": Sample(amount, NOW, 15) for i, amount in enumerate(milli)}


def asked(pods: list[Obj], samples: dict[str, Sample], share: int = 50, current: int = 0) -> int:
    target = Target("cpu", utilization=share)
    current = current or len(pods)
    return propose(current, target, pods, samples, tolerance=Tolerance(), now=NOW).replicas


@pytest.mark.parametrize(
    ("milli", "wanted"),
    [
        ((500, 500), 2),
        ((540, 540), 2),  # within a tenth
        ((600, 600), 3),
        ((1000, 1000), 4),
        ((100, 100), 1),
        ((1000,), 2),  # one pod is not known: it is taken to use nothing
        ((10,), 2),  # or what it asked for, when the others use little
    ],
)
def test_use_asks_for_replicas(milli: tuple[int, ...], wanted: int) -> None:
    assert asked([running("p0"), running("p1")], used(*milli)) == wanted


def test_pods_that_start_hold_back() -> None:
    starting = running("p2", startTime=format_time(NOW - 10))
    starting["status"]["conditions"][0]["status"] = "False"
    pods = [running("p0"), running("p1"), starting]
    assert asked(pods, used(900, 900, 1000)) == 4
    assert asked([*pods, running("p3", phase="Pending")], used(900, 900, 1000)) == 4


@pytest.mark.parametrize(
    ("pods", "samples", "message"),
    [
        ([], {}, "no pods returned by selector while calculating replica count"),
        (
            [running("p0")],
            {},
            "did not receive metrics for targeted pods (pods might be unready)",
        ),
        ([pod("p0", ready_for=500)], {}, "did not receive metrics"),
    ],
)
def test_what_cannot_be_known(pods: list[Obj], samples: dict[str, Sample], message: str) -> None:
    with pytest.raises(Unknown) as error:
        asked(pods, samples)
    assert str(error.value).startswith(message)


def test_samples_are_sums_over_containers_with_windows() -> None:
    containers = [
        {"name": "a", "usage": {"cpu": "100m"}},
        {"name": "b", "usage": {"cpu": "1500000n"}},
    ]
    entry = {
        "metadata": {"name": "p"},
        "timestamp": "2026-01-01T00:00:00Z",
        "window": "1m0.5s",
        "containers": containers,
    }
    assert samples_of([entry], "cpu", "", frozenset({"p"})) == {"p": Sample(102, NOW, 60.5)}
    assert samples_of([entry], "cpu", "a", frozenset({"p"}))["p"].milli == 100
    assert samples_of([entry], "memory", "", frozenset({"p"})) == {}


@pytest.mark.parametrize(
    ("desired", "current", "wanted", "limited"),
    [
        (3, 2, 3, None),
        (9, 2, 4, "ScaleUpLimit"),
        (30, 9, 10, "TooManyReplicas"),
        (0, 1, 1, "TooFewReplicas"),
    ],
)
def test_without_a_behavior_a_workload_at_most_doubles(
    desired: int, current: int, wanted: int, limited: str | None
) -> None:
    history = History([Moment(-1000.0, current)])
    found = pace(desired, Bounds(current, 1, 10), None, history, 0.0)
    assert found.replicas == wanted
    assert (found.limited and found.limited.reason) == limited


def test_what_falls_waits_for_five_minutes() -> None:
    history, bounds = History(), Bounds(8, 1, 10)
    first = pace(2, bounds, None, history, 0.0)
    assert (first.replicas, first.able.reason) == (8, "ScaleDownStabilized")
    assert pace(2, bounds, None, history, 299.0).replicas == 8
    last = pace(2, bounds, None, history, 301.0)
    assert (last.replicas, last.able.reason) == (2, "ReadyForNewScale")


def rules(policy: str, value: int, **more: object) -> Obj:
    policies = [{"type": policy, "value": value, "periodSeconds": 60}]
    return {"policies": policies, "selectPolicy": "Max", "stabilizationWindowSeconds": 0} | more


@pytest.mark.parametrize(
    ("desired", "up", "down", "wanted", "limited"),
    [
        (20, rules("Pods", 3), rules("Pods", 1), 11, "ScaleUpLimit"),  # 2 of 3 are used up
        (20, rules("Percent", 50), rules("Pods", 1), 12, "ScaleUpLimit"),
        (20, rules("Pods", 3, selectPolicy="Disabled"), rules("Pods", 1), 10, "ScaleUpLimit"),
        (1, rules("Pods", 3), rules("Pods", 4), 4, "ScaleDownLimit"),
        (1, rules("Pods", 3), rules("Percent", 50), 4, "ScaleDownLimit"),
        (9, rules("Pods", 3), rules("Percent", 50), 9, None),
    ],
)
def test_policies_count_what_was_done(
    desired: int, up: Obj, down: Obj, wanted: int, limited: str | None
) -> None:
    history = History([Moment(-1000.0, 10)], ups=[Moment(-10.0, 2), Moment(-70.0, 5)])
    behavior = {"scaleUp": up, "scaleDown": down}
    found = pace(desired, Bounds(10, 1, 50), behavior, history, 0.0)
    assert found.replicas == wanted
    assert (found.limited and found.limited.reason) == limited


def autoscaler(**spec: object) -> Obj:
    target = {"type": "Utilization", "averageUtilization": 50}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    common = {"minReplicas": 2, "maxReplicas": 5, "metrics": [metric]}
    return {"metadata": meta("h"), "spec": common | spec}


@pytest.mark.parametrize(
    ("current", "wanted", "why"),
    [
        (1, 2, "Current number of replicas below Spec.MinReplicas"),
        (9, 5, "Current number of replicas above Spec.MaxReplicas"),
        (0, 0, ""),
    ],
)
def test_bounds_come_before_metrics(current: int, wanted: int, why: str) -> None:
    found = plan(Seen(autoscaler(), current, (), "none"), History(), now=NOW, monotonic=0)
    assert (found.replicas, found.why, found.failure) == (wanted, why, None)


def test_without_metrics_nothing_is_scaled() -> None:
    found = plan(Seen(autoscaler(), 3, [running("p")], "gone"), History(), now=NOW, monotonic=0)
    assert found.replicas == 3
    assert found.failure is not None
    assert found.failure.reason == "FailedGetResourceMetric"
    holds, why = found.conditions["ScalingActive"]
    assert not holds
    assert why.message == (
        "the HPA was unable to compute the replica count: failed to get cpu resource metric value: "
        "failed to get cpu utilization: unable to get metrics for resource cpu: gone"
    )
