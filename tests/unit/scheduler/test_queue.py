"""Who is tried next, who waits for what, and what wakes whom."""

from typing import Any

import pytest
from tests.unit.scheduler.cluster import Cluster, make_node, make_pod

from sagong.scheduler import columns
from sagong.scheduler.happenings import (
    Anything,
    DevicesChanged,
    Happening,
    NodeChanged,
    PodChanged,
    Storage,
    StorageChanged,
)
from sagong.scheduler.hints import helps
from sagong.scheduler.pod import PodFacts, Templates
from sagong.scheduler.queue import UNSCHEDULABLE_MAX_SECONDS, SchedulingQueue, Waiting

TEMPLATES = Templates()
FIT = frozenset({"NodeResourcesFit"})


def facts(name: str, **more: Any) -> PodFacts:
    return TEMPLATES.facts_of(make_pod(name, **more))


def popped(queue: SchedulingQueue, now: float) -> Waiting:
    found = queue.pop(now)
    assert found is not None
    return found


def test_priority_first_then_who_came_first() -> None:
    queue = SchedulingQueue()
    for now, (name, priority) in enumerate((("a", 0), ("b", 5), ("c", 5), ("d", 0))):
        queue.add(facts(name, priority=priority), float(now))
    order = [popped(queue, 9.0).key.name for _ in range(4)]
    assert order == ["b", "c", "a", "d"]
    assert queue.pop(9.0) is None


def test_who_found_no_node_waits_for_what_helps() -> None:
    queue = SchedulingQueue()
    queue.add(facts("a"), 0.0)
    queue.park(popped(queue, 0.0), FIT, 0.0)
    assert queue.pop(1.0) is None
    assert not queue.wake(lambda pod, refused_by: False, 1.0)
    assert queue.pop(1.0) is None
    assert queue.wake(lambda pod, refused_by: refused_by == FIT, 5.0)
    assert popped(queue, 5.0).attempts == 2
    assert len(queue) == 1


def test_nobody_is_left_behind_for_ever() -> None:
    queue = SchedulingQueue()
    queue.add(facts("a"), 0.0)
    queue.park(popped(queue, 0.0), FIT, 0.0)
    assert queue.next_due() == UNSCHEDULABLE_MAX_SECONDS
    assert queue.pop(UNSCHEDULABLE_MAX_SECONDS - 1) is None
    assert popped(queue, UNSCHEDULABLE_MAX_SECONDS).key.name == "a"


def test_alike_pods_are_asked_about_together() -> None:
    queue = SchedulingQueue()
    for number in range(50):
        queue.add(facts(f"p{number}", cpu="1"), 0.0)
    while (waiting := queue.pop(0.0)) is not None:
        queue.park(waiting, FIT, 0.0)
    asked = []
    queue.wake(lambda pod, refused_by: bool(asked.append(pod)), 1.0)
    assert len(asked) == 1
    queue.wake(lambda pod, refused_by: True, 1.0)
    assert sum(queue.pop(1.0) is not None for _ in range(51)) == 50


def test_backing_off_is_cut_short_when_there_is_nothing_better_to_do() -> None:
    queue = SchedulingQueue()
    queue.add(facts("a"), 0.0)
    queue.park(popped(queue, 0.0), FIT, 0.0)
    queue.wake(lambda pod, refused_by: True, 0.1)
    queue.add(facts("b"), 0.2)
    assert [popped(queue, 0.3).key.name for _ in range(2)] == ["b", "a"]


def test_failures_back_off_longer_and_longer() -> None:
    queue = SchedulingQueue()
    queue.add(facts("a"), 0.0)
    now, waits = 0.0, []
    for _ in range(6):
        queue.retry(popped(queue, now), now)
        due = queue.next_due()
        assert due is not None
        assert queue.pop(due - 0.01) is None
        waits.append(due - now)
        now = due
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_its_own_status_wakes_nobody_but_its_spec_does() -> None:
    queue = SchedulingQueue()
    obj = make_pod("a", cpu="1")
    queue.add(TEMPLATES.facts_of(obj), 0.0)
    queue.park(popped(queue, 0.0), FIT, 0.0)
    told = {**obj, "status": {"conditions": [{"type": "PodScheduled", "status": "False"}]}}
    queue.add(TEMPLATES.facts_of(told), 1.0)
    assert queue.pop(1.0) is None
    queue.add(facts("a", cpu="500m"), 2.0)
    assert popped(queue, 2.0).pod.requests["cpu"] == 500


def test_the_gone_are_forgotten() -> None:
    queue = SchedulingQueue()
    for name in ("a", "b", "c"):
        queue.add(facts(name), 0.0)
    queue.park(popped(queue, 0.0), FIT, 0.0)
    failed = popped(queue, 0.0)
    for name in ("a", "b", "c"):
        queue.remove(facts(name).uid)
    queue.retry(failed, 0.0)
    assert queue.pop(1e6) is None
    assert len(queue) == 0


def node(**more: Any) -> columns.NodeFacts:
    return columns.facts_of(make_node("n", **more))


def port(number: int) -> list[dict[str, Any]]:
    return [{"containerPort": number, "hostPort": number}]


def with_port(name: str, number: int) -> PodFacts:
    obj = make_pod(name)
    obj["spec"]["containers"][0]["ports"] = port(number)
    return TEMPLATES.facts_of(obj)


def with_claim(name: str, claim: str) -> PodFacts:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim}}
    return facts(name, volumes=[volume])


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WEB = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "zone"}
LIKES = {"podAffinity": {REQUIRED: [WEB]}}
SHUNS = {"podAntiAffinity": {REQUIRED: [WEB]}}
TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}
SPREAD = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
           "labelSelector": {"matchLabels": {"app": "web"}}}]  # fmt: skip
web, db = facts("web", labels={"app": "web"}), facts("db", labels={"app": "db"})
claim_a = {"metadata": {"name": "a", "namespace": "default"}}
claim_b = {"metadata": {"name": "b", "namespace": "default"}}


@pytest.mark.parametrize(
    ("plugin", "pod", "happening", "answer"),
    [
        ("NodeUnschedulable", facts("p"), NodeChanged(node(unschedulable=True), node()), True),
        ("NodeUnschedulable", facts("p"), NodeChanged(node(), node(cpu="9")), False),
        ("TaintToleration", facts("p"), NodeChanged(node(taints=[TAINT]), node()), True),
        ("TaintToleration", facts("p"), NodeChanged(None, node(taints=[TAINT])), False),
        ("NodeAffinity", facts("p", nodeSelector={"a": "b"}), NodeChanged(None, node()), False),
        ("NodeAffinity", facts("p", nodeSelector={"a": "b"}),
         NodeChanged(node(), node(labels={"a": "b"})), True),
        ("NodePorts", with_port("p", 80), PodChanged(with_port("q", 80), None), True),
        ("NodePorts", with_port("p", 80), PodChanged(with_port("q", 81), None), False),
        ("NodePorts", with_port("p", 80), PodChanged(None, with_port("q", 80)), False),
        ("NodeResourcesFit", facts("p", cpu="2"), NodeChanged(None, node(cpu="1")), False),
        ("NodeResourcesFit", facts("p", cpu="2"), NodeChanged(None, node(cpu="4")), True),
        ("NodeResourcesFit", facts("p", cpu="2"),
         NodeChanged(node(cpu="4"), node(cpu="4", labels={"a": "b"})), False),
        ("NodeResourcesFit", facts("p", cpu="2"),
         NodeChanged(node(cpu="3"), node(cpu="4")), True),
        ("NodeResourcesFit", facts("p", cpu="2"), PodChanged(web, None), True),
        ("NodeResourcesFit", facts("p", cpu="2"), PodChanged(None, web), False),
        ("NodeResourcesFit", facts("p", cpu="2"),
         PodChanged(facts("q", cpu="2"), facts("q", cpu="1")), True),
        ("NodeResourcesFit", facts("p", cpu="2"),
         PodChanged(facts("q", cpu="1"), facts("q", cpu="2")), False),
        ("InterPodAffinity", facts("p", affinity=LIKES), PodChanged(None, web), True),
        ("InterPodAffinity", facts("p", affinity=LIKES), PodChanged(None, db), False),
        ("InterPodAffinity", facts("p", affinity=LIKES), PodChanged(web, None), False),
        ("InterPodAffinity", facts("p", affinity=SHUNS), PodChanged(web, None), True),
        ("InterPodAffinity", facts("p", affinity=SHUNS), PodChanged(db, None), False),
        ("InterPodAffinity", web, PodChanged(facts("q", affinity=SHUNS), None), True),
        ("InterPodAffinity", facts("p", affinity=LIKES),
         NodeChanged(node(), node(labels={"zone": "1"})), True),
        ("InterPodAffinity", facts("p", affinity=LIKES),
         NodeChanged(node(), node(labels={"rack": "1"})), False),
        ("PodTopologySpread", facts("p", topologySpreadConstraints=SPREAD),
         PodChanged(None, web), True),
        ("PodTopologySpread", facts("p", topologySpreadConstraints=SPREAD),
         PodChanged(db, None), False),
        ("PodTopologySpread", facts("p", topologySpreadConstraints=SPREAD),
         NodeChanged(node(labels={"zone": "1"}), None), True),
        ("VolumeBinding", with_claim("p", "a"), StorageChanged(Storage.CLAIM, None, claim_a), True),
        ("VolumeBinding", with_claim("p", "a"),
         StorageChanged(Storage.CLAIM, None, claim_b), False),
        ("VolumeBinding", with_claim("p", "a"), StorageChanged(Storage.VOLUME, None, {}), True),
        ("VolumeRestrictions", with_claim("p", "a"),
         PodChanged(with_claim("q", "a"), None), True),
        ("VolumeRestrictions", with_claim("p", "a"),
         PodChanged(with_claim("q", "b"), None), False),
        ("NodeVolumeLimits", with_claim("p", "a"), PodChanged(web, None), False),
        ("NodeVolumeLimits", with_claim("p", "a"), PodChanged(with_claim("q", "b"), None), True),
        ("VolumeZone", with_claim("p", "a"),
         NodeChanged(node(), node(labels={"zone": "1"})), True),
        ("DynamicResources", facts("p"), DevicesChanged("resourceslices", None, {}), True),
        ("DynamicResources", facts("p"), PodChanged(web, None), False),
        ("NodeName", facts("p"), Anything(), True),
        ("somebody else's", facts("p"), PodChanged(web, None), True),
    ],
)  # fmt: skip
def test_hints(plugin: str, pod: PodFacts, happening: Happening, answer: bool) -> None:
    terms = Cluster().state.terms
    assert helps(pod, frozenset({plugin}), happening, terms) is answer
