"""Who must make room for whom: node and victims, budgets, priorities, messages."""

from typing import Any

import pytest
from tests.unit.scheduler.cluster import Cluster, make_node, make_pod

from sagong.api.types import Obj
from sagong.core.ids import SeededIds
from sagong.scheduler.preemption import (
    NO_VICTIMS,
    Attempt,
    Nominees,
    Search,
    budget_of,
    find_victims,
)

HIGH, MIDDLE, LOW = 1000, 100, 1


def attempt(
    cluster: Cluster,
    obj: Obj,
    *,
    budgets: list[Obj] | None = None,
    starts: dict[str, str] | None = None,
) -> Attempt:
    decision = cluster.decide(obj)
    assert decision.slot is None
    assert decision.evictable is not None
    found = [budget_of(b) for b in budgets or []]
    known = starts or {}
    before = recount(cluster)
    search = Search(cluster.profile, found, lambda p: known.get(p.key.name, "~"))
    result = find_victims(search, cluster.cycle(obj), decision.evictable, SeededIds(1))
    assert recount(cluster) == before, "what was tried out must be taken back"
    return result


def recount(cluster: Cluster) -> dict[str, Any]:
    columns = cluster.state.columns
    return {
        facts.name: (
            sorted(p.uid for p in cluster.state.pods_on(facts.name)),
            int(columns.requested("cpu")[slot]),
        )
        for slot, facts in columns.nodes()
    }


def victims(result: Attempt) -> tuple[str, list[str]]:
    assert result.chosen is not None, result.reasons
    return result.chosen.node, [v.key.name for v in result.chosen.victims]


def budget(allowed: int, *, disrupted: tuple[str, ...] = (), **labels: str) -> Obj:
    return {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}},
        "status": {"disruptionsAllowed": allowed, "disruptedPods": dict.fromkeys(disrupted, "t")},
    }


def test_the_lowest_priority_goes() -> None:
    cluster = Cluster(make_node("a"), make_node("b"))
    cluster.place(make_pod("low", cpu="3", priority=LOW), "a")
    cluster.place(make_pod("middle", cpu="3", priority=MIDDLE), "b")
    found = attempt(cluster, make_pod("high", cpu="2", priority=HIGH))
    assert victims(found) == ("a", ["low"])


def test_no_more_go_than_must() -> None:
    cluster = Cluster(make_node("a"))
    for name, cpu, priority in (("x", "1", LOW), ("y", "2", LOW), ("z", "1", MIDDLE)):
        cluster.place(make_pod(name, cpu=cpu, priority=priority), "a")
    starts = {"x": "2026-01-01T00:00:00Z", "y": "2026-01-01T00:00:01Z"}
    found = attempt(cluster, make_pod("high", cpu="1", priority=HIGH), starts=starts)
    # z and then the older x are reprieved first; what is left to go is y.
    assert victims(found) == ("a", ["y"])


def test_equal_priority_is_no_victim() -> None:
    cluster = Cluster(make_node("a"), make_node("b", cpu="1"))
    cluster.place(make_pod("other", cpu="4", priority=HIGH), "a")
    wanted = make_pod("high", cpu="2", priority=HIGH)
    found = attempt(cluster, wanted)
    assert found.chosen is None
    assert found.reasons == {NO_VICTIMS: 1}
    assert cluster.why(wanted).endswith(
        "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
        "1 Preemption is not helpful for scheduling."
    )


def test_eviction_that_does_not_suffice_says_what_is_still_short() -> None:
    cluster = Cluster(make_node("a"))
    cluster.place(make_pod("low", cpu="1", priority=LOW), "a")
    cluster.place(make_pod("peer", cpu="3", priority=HIGH), "a")
    found = attempt(cluster, make_pod("high", cpu="2", priority=HIGH))
    assert found.chosen is None
    assert found.reasons == {"Insufficient cpu": 1}


def test_budgets_decide_between_nodes() -> None:
    cluster = Cluster(make_node("a"), make_node("b"))
    cluster.place(make_pod("kept", cpu="3", priority=LOW, labels={"app": "kept"}), "a")
    cluster.place(make_pod("free", cpu="3", priority=MIDDLE, labels={"app": "free"}), "b")
    high = make_pod("high", cpu="2", priority=HIGH)
    none_left = budget(0, app="kept")
    assert victims(attempt(cluster, high, budgets=[none_left])) == ("b", ["free"])
    assert victims(attempt(cluster, high, budgets=[budget(1, app="kept")])) == ("a", ["kept"])
    counted = budget(0, disrupted=("kept",), app="kept")
    assert victims(attempt(cluster, high, budgets=[counted])) == ("a", ["kept"])
    # A selector that selects everything or nothing keeps nobody, as upstream has it.
    assert victims(attempt(cluster, high, budgets=[budget(0)])) == ("a", ["kept"])


def test_a_budget_is_broken_when_nothing_else_helps() -> None:
    cluster = Cluster(make_node("a"))
    for name in ("one", "two"):
        cluster.place(make_pod(name, cpu="2", priority=LOW, labels={"app": "kept"}), "a")
    high = make_pod("high", cpu="4", priority=HIGH)
    found = attempt(cluster, high, budgets=[budget(1, app="kept")])
    assert found.chosen is not None
    assert found.chosen.violations == 1
    assert len(found.chosen.victims) == 2


@pytest.mark.parametrize(
    ("on_a", "on_b", "chosen"),
    [
        # The lower of the highest priorities.
        ([MIDDLE], [LOW, LOW], "b"),
        # Then the smaller sum.
        ([MIDDLE, MIDDLE], [MIDDLE, LOW], "b"),
        # Then fewer victims: each adds to the sum, so fewer is smaller.
        ([LOW, LOW], [LOW], "b"),
    ],
)
def test_which_node(on_a: list[int], on_b: list[int], chosen: str) -> None:
    cluster = Cluster(make_node("a", cpu="2"), make_node("b", cpu="2"))
    for node, priorities in (("a", on_a), ("b", on_b)):
        for index, priority in enumerate(priorities):
            share = f"{2000 // len(priorities)}m"
            cluster.place(make_pod(f"{node}{index}", cpu=share, priority=priority), node)
    assert victims(attempt(cluster, make_pod("high", cpu="2", priority=HIGH)))[0] == chosen


def test_the_youngest_go_when_all_else_is_equal() -> None:
    cluster = Cluster(make_node("a"), make_node("b"))
    cluster.place(make_pod("old", cpu="4", priority=LOW), "a")
    cluster.place(make_pod("young", cpu="4", priority=LOW), "b")
    starts = {"old": "2026-01-01T00:00:00Z", "young": "2026-01-02T00:00:00Z"}
    found = attempt(cluster, make_pod("high", cpu="2", priority=HIGH), starts=starts)
    assert victims(found) == ("b", ["young"])


def test_host_ports_and_anti_affinity_are_made_free() -> None:
    cluster = Cluster(make_node("a"))
    port = {"containerPort": 80, "hostPort": 80}
    holder = make_pod("holder", priority=LOW)
    holder["spec"]["containers"][0]["ports"] = [port]
    cluster.place(holder, "a")
    wanted = make_pod("high", priority=HIGH)
    wanted["spec"]["containers"][0]["ports"] = [port]
    assert victims(attempt(cluster, wanted)) == ("a", ["holder"])


def test_nominees_hold_their_room() -> None:
    cluster = Cluster(make_node("a"))
    nominees = Nominees(cluster.state)
    nominees.set(cluster.facts(make_pod("high", cpu="3", priority=HIGH)), "a")
    late = make_pod("late", cpu="2", priority=LOW)
    with nominees.as_seen_by(cluster.facts(late)):
        assert cluster.decide(late).slot is None
    higher = make_pod("higher", cpu="2", priority=2 * HIGH)
    with nominees.as_seen_by(cluster.facts(higher)):
        assert cluster.decide(higher).slot is not None
    outranked = nominees.outranked(cluster.facts(higher), "a")
    assert [p.key.name for p in outranked] == ["high"]
    nominees.remove(outranked[0].uid)
    assert cluster.decide(late).slot is not None
