"""Nodes: silence, taints, disrupted zones, eviction times, pods nobody else removes."""

from collections.abc import Callable

import pytest

from sagong.api.address_ranges import node_ranges
from sagong.api.types import Obj
from sagong.controllers.core import node_ipam
from sagong.controllers.node import lifecycle, pod_gc, taint_eviction, ttl
from sagong.controllers.node.zones import (
    READINESS,
    Health,
    Zone,
    evictions_per_second,
    is_all_disrupted,
    readiness,
    zone_around,
)
from sagong.ctl.controller import Following
from sagong.ctl.indexed import Objects

from .objects import NOW, pod

STAMP = "2026-01-01T00:00:00Z"


def node(ready: str | None = "True", *, zone: str = "a", **spec: object) -> Obj:
    conditions = [] if ready is None else [{"type": "Ready", "status": ready}]
    labels = {"topology.kubernetes.io/zone": zone}
    return {
        "metadata": {"name": "n", "labels": labels, "creationTimestamp": STAMP},
        "spec": dict(spec),
        "status": {"conditions": conditions},
    }


def decide(found: Obj, *, silent: bool = False, may: bool = True, all_: bool = False) -> set[str]:
    seen = lifecycle.Seen(found, "", (), Zone(2, 1), all_)
    taints = lifecycle.plan(seen, silent=silent, now=STAMP, may_evict=may).taints
    return {f"{t['key'].rpartition('/')[2]}:{t['effect']}" for t in taints or ()}


@pytest.mark.parametrize(
    ("found", "options", "wanted"),
    [
        (node(), {}, set()),
        (node(None), {}, set()),  # has not said anything yet
        (node("False"), {}, {"not-ready:NoSchedule", "not-ready:NoExecute"}),
        (node("False"), {"may": False}, {"not-ready:NoSchedule"}),
        (node("False"), {"all_": True}, {"not-ready:NoSchedule"}),
        (node(), {"silent": True}, {"unreachable:NoSchedule", "unreachable:NoExecute"}),
        (node(unschedulable=True), {}, {"unschedulable:NoSchedule"}),
    ],
)
def test_taints_say_what_conditions_say(
    found: Obj, options: dict[str, bool], wanted: set[str]
) -> None:
    assert decide(found, **options) == wanted


def test_from_one_eviction_to_the_other_needs_no_leave() -> None:
    taint = {"key": lifecycle.NOT_READY, "effect": "NoExecute"}
    found = decide(node("Unknown", taints=[taint]), may=False)
    assert found == {"unreachable:NoSchedule", "unreachable:NoExecute"}


def test_a_silent_node_is_unknown_in_all_that_it_reports() -> None:
    seen = lifecycle.Seen(node(), "", (), Zone(2, 0), False)
    found = lifecycle.plan(seen, silent=True, now=STAMP)
    reasons = {c["type"]: c["reason"] for c in found.conditions or ()}
    assert reasons.pop("Ready") == "NodeStatusUnknown"
    assert set(reasons.values()) == {"NodeStatusNeverUpdated"}
    assert (found.became, found.pods_not_ready) == ("NodeNotReady", True)


@pytest.mark.parametrize(
    ("nodes", "silent", "health", "rate"),
    [
        (10, 2, Health.NORMAL, 0.1),
        (2, 1, Health.NORMAL, 0.1),
        (5, 3, Health.PARTIAL, 0.0),
        (60, 40, Health.PARTIAL, 0.01),
        (3, 3, Health.FULL, 0.1),
    ],
)
def test_zones_set_the_pace(nodes: int, silent: int, health: Health, rate: float) -> None:
    zone = Zone(nodes, silent)
    assert (zone.health, evictions_per_second(zone)) == (health, rate)


def counts_of(*nodes: Obj) -> Callable[[str], int]:
    objects = Objects()
    objects.add_index(READINESS, readiness)
    for number, obj in enumerate(nodes):
        metadata = obj["metadata"] | {"name": f"n{number}", "resourceVersion": "1"}
        objects.put(obj | {"metadata": metadata})
    return lambda value: objects.count(READINESS, value)


def test_all_zones_disrupted() -> None:
    assert is_all_disrupted(counts_of(node("False"), node("Unknown", zone="b")))
    assert not is_all_disrupted(counts_of(node("False"), node(zone="b")))
    assert not is_all_disrupted(counts_of())


def test_zones_are_counted() -> None:
    nodes = [node(ready, zone=zone) for zone in "ab" for ready in ("True", "False", None)]
    nodes[0]["metadata"]["labels"].pop("topology.kubernetes.io/zone")
    count = counts_of(*nodes)
    assert zone_around(nodes[1], count) == Zone(2, 2)
    assert zone_around(nodes[3], count) == Zone(3, 2)
    assert zone_around(nodes[0], count) == Zone(1, 0)


def tolerating(*tolerations: Obj) -> Obj:
    found = pod("p")
    found["spec"]["tolerations"] = list(tolerations)
    return found


FOREVER = {"key": "k", "operator": "Exists", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "added", "wanted"),
    [
        ([], None, 0),
        ([FOREVER], None, None),
        ([{"operator": "Exists"}], None, None),
        ([FOREVER | {"tolerationSeconds": 300}], None, 290),  # noticed ten seconds ago
        ([FOREVER | {"tolerationSeconds": 300}], -60, 240),
        ([FOREVER | {"tolerationSeconds": -5}], -60, -60),
        ([FOREVER | {"effect": "NoSchedule"}], None, 0),
        ([{"key": "k", "value": "other"}], None, 0),
        ([FOREVER | {"tolerationSeconds": s} for s in (30, 20)], -5, 15),
    ],
)
def test_pods_go_when_their_time_is_up(
    tolerations: list[Obj], added: float | None, wanted: float | None
) -> None:
    taints = (("k", "v", None if added is None else NOW + added),)
    seen = taint_eviction.Seen(tolerating(*tolerations), taints)
    found = taint_eviction.plan(seen, noticed=NOW - 10, now=NOW)
    assert found == (None if wanted is None else NOW + wanted)


OUT = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
GOING = {"deletionTimestamp": STAMP}


@pytest.mark.parametrize(
    ("found", "where", "wanted"),
    [
        (pod("p"), node(), pod_gc.Verdict.KEEP),
        (pod("p"), None, pod_gc.Verdict.ORPHANED),
        (pod("p", node=""), None, pod_gc.Verdict.KEEP),
        (pod("p", node="", **GOING), None, pod_gc.Verdict.UNSCHEDULED),
        (pod("p", **GOING), node("False", taints=[OUT]), pod_gc.Verdict.OUT_OF_SERVICE),
        (pod("p", **GOING), node(taints=[OUT]), pod_gc.Verdict.KEEP),
    ],
)
def test_pods_that_nobody_else_removes(
    found: Obj, where: Obj | None, wanted: pod_gc.Verdict
) -> None:
    assert pod_gc.plan(pod_gc.Seen(found, where)) is wanted


def test_of_too_many_ended_pods_evicted_ones_go_first() -> None:
    ended = [pod(f"p{age}", phase="Failed", age=age) for age in (10, 30, 20)]
    ended[0]["status"]["reason"] = "Evicted"
    names = [p["metadata"]["name"] for p in pod_gc.surplus(ended, 1)]
    assert names == ["p10", "p30"]
    assert pod_gc.surplus(ended, 3) == ()


def test_ranges_are_disjoint_and_end() -> None:
    (of,) = node_ranges("10.0.0.0/22", 24, 64)

    def chosen(begin: int, *taken: str, others: tuple[str, ...] = ()) -> str | None:
        pool = node_ipam.Pool(of, begin)
        number = node_ipam.plan(pool, lambda cidr: cidr in taken, others)
        return None if number is None else pool.at(number)

    assert chosen(0) == "10.0.0.0/24"
    assert chosen(0, "10.0.0.0/24", others=("10.0.1.128/25",)) == "10.0.2.0/24"
    assert chosen(3, "10.0.3.0/24", "10.0.0.0/24") == "10.0.1.0/24"
    assert chosen(1, *(f"10.0.{i}.0/24" for i in range(4))) is None


def test_a_node_gets_a_range_of_each_family() -> None:
    pools = [node_ipam.Pool(each) for each in node_ranges("10.0.0.0/23,fd00:1::/48", 24, 64)]
    taken: list[str] = []
    for wanted in (["10.0.0.0/24", "fd00:1::/64"], ["10.0.1.0/24", "fd00:1:0:1::/64"], None):
        # Without one of both it gets none: half a network would be of no use.
        found = node_ipam.plan_all(pools, taken.__contains__)
        assert found == wanted
        taken += found or ()


@pytest.mark.parametrize("text", ["10.0.0.0/16,10.1.0.0/16", "10.0.0.0/25", "fd00::/40", "x"])
def test_ranges_that_nodes_cannot_share_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        node_ranges(text, 24, 64)


@pytest.mark.parametrize(
    ("nodes", "before", "wanted"), [(5, 0, 0), (101, 0, 1), (95, 1, 1), (89, 1, 0), (5000, 0, 4)]
)
def test_ttl_steps_overlap(nodes: int, before: int, wanted: int) -> None:
    assert ttl.plan(nodes, before) == wanted


def test_whoever_does_not_hear_calls_nobody_silent() -> None:
    """A lost watch starts everybody's grace anew, however short it was lost."""
    ears = lifecycle.Ears()
    assert ears.open_since(Following(is_up=False, losses=0), 5.0) == 5.0
    assert ears.open_since(Following(is_up=True, losses=0), 6.0) == 5.0
    assert ears.open_since(Following(is_up=True, losses=0), 60.0) == 5.0
    assert ears.open_since(Following(is_up=False, losses=1), 61.0) == 61.0
    assert ears.open_since(Following(is_up=False, losses=1), 90.0) == 90.0
    assert ears.open_since(Following(is_up=True, losses=1), 95.0) == 90.0
    # Lost and found between two looks.
    assert ears.open_since(Following(is_up=True, losses=2), 99.0) == 99.0
