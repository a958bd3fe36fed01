"""When a node is short of something, and which pod goes for it: tables."""

from typing import Any

import pytest

from sagong.api.types import Obj
from sagong.node.eviction.ranking import (
    Candidate,
    Usage,
    excess,
    has_storage_limits,
    message,
    rank,
)
from sagong.node.eviction.thresholds import (
    Reading,
    Signal,
    Threshold,
    Watch,
    judge,
    parse_thresholds,
)

MI = 1 << 20


def pod(name: str, *, request: str = "", priority: int = 0, **limits: str) -> Obj:
    resources: Obj = {"requests": {"memory": request}} if request else {}
    if limits:
        resources["limits"] = {k.replace("_", "-"): v for k, v in limits.items()}
    container = {"name": "c0", "image": "i", "resources": resources}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "priority": priority}}


def using(memory: int = 0, disk: int = 0, **more: Any) -> Usage:
    return Usage(memory, disk, containers={"c0": Usage(memory, disk)}, **more)


def test_memory_is_taken_from_those_above_their_requests_first() -> None:
    ranked = rank(
        [
            Candidate(pod("within", request="100Mi"), using(90 * MI)),
            Candidate(pod("much-above", request="10Mi"), using(80 * MI)),
            Candidate(pod("above-important", request="1Mi", priority=9), using(200 * MI)),
            Candidate(pod("best-effort"), using(20 * MI)),
            Candidate(pod("idle"), using(0)),
        ],
        Signal.MEMORY,
    )
    names = [c.pod["metadata"]["name"] for c in ranked]
    assert names == ["much-above", "best-effort", "above-important", "idle", "within"]


def test_processes_go_by_priority_and_number() -> None:
    candidates = [
        Candidate(pod("few"), Usage(processes=2)),
        Candidate(pod("many"), Usage(processes=50)),
        Candidate(pod("important", priority=5), Usage(processes=500)),
    ]
    names = [c.pod["metadata"]["name"] for c in rank(candidates, Signal.PIDS)]
    assert names == ["many", "few", "important"]


def test_what_an_evicted_pod_is_told() -> None:
    candidate = Candidate(pod("p", request="10Mi"), using(50 * MI))
    text = message(candidate, Threshold(Signal.MEMORY, "100Mi"), Reading(64 * MI, 1024 * MI))
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 102400Ki, available: 65536Ki. "
        "Container c0 was using 51200Ki, request is 10Mi, has larger consumption of memory. "
    )


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (Candidate(pod("p", ephemeral_storage="1Mi"), using(disk=MI)), ""),
        (
            Candidate(pod("p", ephemeral_storage="1Mi"), using(disk=MI + 1)),
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
        (Candidate(pod("p"), using(disk=99 * MI)), ""),
    ],
)
def test_storage_limits(candidate: Candidate, text: str) -> None:
    assert excess(candidate) == text


def test_volumes_and_containers_have_limits_of_their_own() -> None:
    made = pod("p", ephemeral_storage="1Mi")
    made["spec"]["containers"].append({"name": "c1", "image": "i"})
    made["spec"]["volumes"] = [{"name": "v", "emptyDir": {"sizeLimit": "2Mi"}}]
    usage = using(disk=2 * MI, volumes={"v": MI})
    assert excess(Candidate(made, usage)) == (
        'Container c0 exceeded its local ephemeral storage limit "1Mi". '
    )
    usage = using(disk=0, volumes={"v": 3 * MI})
    assert excess(Candidate(made, usage)) == (
        'Usage of EmptyDir volume "v" exceeds the limit "2Mi". '
    )


def test_only_pods_with_limits_can_exceed_them() -> None:
    assert not has_storage_limits(pod("p", memory="1Mi"))
    assert has_storage_limits(pod("p", ephemeral_storage="1Mi"))
    made = pod("p")
    made["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": None}]
    assert not has_storage_limits(made)
    made["spec"]["volumes"][1]["emptyDir"] = {"sizeLimit": "1Mi"}
    assert has_storage_limits(made)


def test_settings() -> None:
    thresholds = parse_thresholds(
        {"nodefs.available": "10%", "memory.available": "100Mi"},
        {"memory.available": "200Mi"},
        {"memory.available": 30.0},
        {"nodefs.available": "5%"},
    )
    assert [(t.signal.value, t.text, t.grace_seconds) for t in thresholds] == [
        ("memory.available", "100Mi", 0.0),
        ("memory.available", "200Mi", 30.0),
        ("nodefs.available", "10%", 0.0),
    ]
    with pytest.raises(ValueError, match="grace period must be specified"):
        parse_thresholds({}, {"memory.available": "1Gi"}, {}, {})
    with pytest.raises(ValueError, match="is not a valid"):
        parse_thresholds({"memory.unknown": "1Gi"}, {}, {}, {})


def test_soft_thresholds_wait_and_conditions_outlast_their_cause() -> None:
    soft = Threshold(Signal.MEMORY, "200Mi", grace_seconds=30)
    disk = Threshold(Signal.NODE_DISK, "10%", min_reclaim="5%")
    short = {Signal.MEMORY: Reading(150 * MI, 1024 * MI), Signal.NODE_DISK: Reading(50, 100)}
    well = {Signal.MEMORY: Reading(500 * MI, 1024 * MI), Signal.NODE_DISK: Reading(50, 100)}
    watch = Watch()
    told = []
    for now, readings in ((0, short), (20, short), (30, short), (40, well), (100, well)):
        verdict = judge(watch, [soft, disk], readings, now=now, transition_seconds=60)
        watch = verdict.watch
        told.append((list(verdict.pressures), list(verdict.due)))
    assert told == [
        ([], []),
        ([], []),
        (["MemoryPressure"], [soft]),
        (["MemoryPressure"], []),
        ([], []),
    ]


def test_more_is_reclaimed_than_the_threshold_once_it_was_met() -> None:
    disk = Threshold(Signal.NODE_DISK, "10%", min_reclaim="5%")
    watch, dues = Watch(), []
    for available in (12, 9, 12, 15, 12):
        readings = {Signal.NODE_DISK: Reading(available, 100)}
        verdict = judge(watch, [disk], readings, now=0, transition_seconds=0)
        watch = verdict.watch
        dues.append(bool(verdict.due))
    assert dues == [False, True, True, False, False]
