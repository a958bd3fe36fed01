"""Where pods go, and upstream's words for why they go nowhere."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scheduler.cluster import Cluster, make_node, make_pod

from sagong.scheduler.volumes import PodVolumes

TAIL = "no new claims to deallocate, preemption: 0/{n} nodes are available: {why}."


def refusal(n: int, reasons: str, why: str) -> str:
    return f"0/{n} nodes are available: {reasons}. " + TAIL.format(n=n, why=why)


def helpless(n: int) -> str:
    return f"{n} Preemption is not helpful for scheduling"


def victimless(n: int) -> str:
    return f"{n} No preemption victims found for incoming pod"


def test_no_nodes() -> None:
    assert Cluster().why(make_pod("a")) == "no nodes available to schedule pods"


def test_least_used_node_wins() -> None:
    cluster = Cluster(make_node("a"), make_node("b"))
    cluster.place(make_pod("x", cpu="3"), "a")
    assert cluster.place(make_pod("y", cpu="500m")) == "b"


def test_every_reason_is_counted() -> None:
    cluster = Cluster(
        make_node("small", cpu="1"),
        make_node("full", pods=1),
        make_node("tainted", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}]),
        make_node("cordoned", unschedulable=True),
    )
    cluster.place(make_pod("x"), "full")
    reasons = (
        "1 Insufficient cpu, 1 Too many pods, 1 node(s) had untolerated taint(s), "
        "1 node(s) were unschedulable"
    )
    why = f"{victimless(1)}, {helpless(3)}"
    assert cluster.why(make_pod("p", cpu="2")) == refusal(4, reasons, why)


def test_one_node_may_lack_two_resources() -> None:
    cluster = Cluster(make_node("a", cpu="2", memory="1Gi"))
    cluster.place(make_pod("x", cpu="1500m", memory="900Mi"))
    message = cluster.why(make_pod("p", cpu="1", memory="500Mi"))
    assert message == refusal(1, "1 Insufficient cpu, 1 Insufficient memory", victimless(1))


def test_room_comes_back_when_a_pod_goes() -> None:
    cluster = Cluster(make_node("a", cpu="1"))
    first = make_pod("x", cpu="1")
    cluster.place(first)
    assert cluster.place(make_pod("y", cpu="1")) is None
    cluster.state.displace(first["metadata"]["uid"])
    assert cluster.place(make_pod("y", cpu="1")) == "a"


def test_pods_seen_before_their_node_count() -> None:
    cluster = Cluster()
    cluster.place(make_pod("x", cpu="1"), "late")
    from sagong.scheduler import columns

    cluster.state.set_node(columns.facts_of(make_node("late", cpu="1")))
    assert cluster.place(make_pod("y", cpu="1")) is None


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "other"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations(toleration: dict[str, Any], tolerated: bool) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    cluster = Cluster(make_node("a", taints=[taint]))
    assert (cluster.place(make_pod("p", tolerations=[toleration])) == "a") is tolerated


@pytest.mark.parametrize(
    ("expression", "matching"),
    [
        ({"key": "disk", "operator": "In", "values": ["ssd"]}, {"a"}),
        ({"key": "disk", "operator": "NotIn", "values": ["ssd"]}, {"b", "c"}),
        ({"key": "disk", "operator": "Exists"}, {"a", "b"}),
        ({"key": "disk", "operator": "DoesNotExist"}, {"c"}),
        ({"key": "gen", "operator": "Gt", "values": ["4"]}, {"b"}),
        ({"key": "gen", "operator": "Lt", "values": ["4"]}, {"a"}),
    ],
)
def test_required_node_affinity(expression: dict[str, Any], matching: set[str]) -> None:
    cluster = Cluster(
        make_node("a", labels={"disk": "ssd", "gen": "3"}),
        make_node("b", labels={"disk": "hdd", "gen": "5"}),
        make_node("c"),
    )
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    found = set()
    while (
        node := cluster.place(make_pod(f"p{len(found)}", cpu="3", affinity=affinity))
    ) is not None:
        found.add(node)
    assert found == matching


def test_node_selector_refusal() -> None:
    cluster = Cluster(make_node("a"))
    reason = "1 node(s) didn't match Pod's node affinity/selector"
    message = cluster.why(make_pod("p", nodeSelector={"disk": "ssd"}))
    assert message == refusal(1, reason, helpless(1))


def test_preferred_node_affinity_outweighs_use() -> None:
    cluster = Cluster(make_node("a", labels={"disk": "ssd"}), make_node("b"))
    cluster.place(make_pod("x", cpu="1"), "a")
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    affinity = {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": term}]
        }
    }
    assert cluster.place(make_pod("p", affinity=affinity)) == "a"


def pod_term(key: str, **labels: str) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": labels}, "topologyKey": key}


HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def test_anti_affinity_spreads_and_then_refuses() -> None:
    cluster = Cluster(make_node("a"), make_node("b"))
    anti = {"podAntiAffinity": {REQUIRED: [pod_term(HOST, app="web")]}}
    pods = [make_pod(f"p{i}", labels={"app": "web"}, affinity=anti) for i in range(3)]
    assert {cluster.place(pods[0]), cluster.place(pods[1])} == {"a", "b"}
    reason = "2 node(s) didn't match pod anti-affinity rules"
    assert cluster.why(pods[2]) == refusal(2, reason, victimless(2))


def test_existing_anti_affinity_keeps_newcomers_away() -> None:
    cluster = Cluster(make_node("a"))
    anti = {"podAntiAffinity": {REQUIRED: [pod_term(HOST, app="noisy")]}}
    cluster.place(make_pod("shy", affinity=anti))
    reason = "1 node(s) didn't satisfy existing pods anti-affinity rules"
    message = cluster.why(make_pod("p", labels={"app": "noisy"}))
    assert message == refusal(1, reason, victimless(1))
    assert cluster.place(make_pod("q", labels={"app": "quiet"})) == "a"


def test_affinity_follows_and_the_first_of_a_group_is_let_in() -> None:
    cluster = Cluster(
        make_node("a", labels={ZONE: "1"}),
        make_node("b", labels={ZONE: "1"}),
        make_node("c", labels={ZONE: "2"}),
    )
    together = {"podAffinity": {REQUIRED: [pod_term(ZONE, app="web")]}}
    first = cluster.place(make_pod("p0", labels={"app": "web"}, affinity=together))
    zone = {"a": "1", "b": "1", "c": "2"}
    others = [
        cluster.place(make_pod(f"p{i}", labels={"app": "web"}, affinity=together))
        for i in range(1, 5)
    ]
    assert first is not None
    assert {zone[n] for n in others if n} == {zone[first]}
    stranger = make_pod("s", affinity={"podAffinity": {REQUIRED: [pod_term(ZONE, app="db")]}})
    assert "3 node(s) didn't match pod affinity rules" in cluster.why(stranger)


def test_affinity_over_selected_namespaces() -> None:
    cluster = Cluster(
        make_node("a"), make_node("b"), namespaces={"default": {}, "other": {"team": "x"}}
    )
    cluster.place(make_pod("db", labels={"app": "db"}, namespace="other"), "b")
    term = pod_term(HOST, app="db") | {"namespaceSelector": {"matchLabels": {"team": "x"}}}
    assert cluster.place(make_pod("p", affinity={"podAffinity": {REQUIRED: [term]}})) == "b"


def spread(skew: int, key: str, when: str = "DoNotSchedule", **more: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "maxSkew": skew,
        "topologyKey": key,
        "whenUnsatisfiable": when,
        "labelSelector": selector,
    } | more


def test_hard_spread_is_even_and_refuses_when_it_cannot_be() -> None:
    cluster = Cluster(
        make_node("a", labels={ZONE: "1"}),
        make_node("b", labels={ZONE: "2"}, cpu="1"),
        make_node("c"),
    )
    constraint = [spread(1, ZONE)]
    counts: Counter[str | None] = Counter()
    for i in range(2):
        pod_obj = make_pod(
            f"p{i}", cpu="600m", labels={"app": "web"}, topologySpreadConstraints=constraint
        )
        counts[cluster.place(pod_obj)] += 1
    assert counts == {"a": 1, "b": 1}
    third = make_pod("p2", cpu="600m", labels={"app": "web"}, topologySpreadConstraints=constraint)
    assert cluster.place(third) == "a"
    fourth = make_pod("p3", cpu="600m", labels={"app": "web"}, topologySpreadConstraints=constraint)
    reasons = (
        "1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints, "
        "1 node(s) didn't match pod topology spread constraints (missing required label)"
    )
    why = ", ".join(sorted([victimless(2), helpless(1)]))
    assert cluster.why(fourth) == refusal(3, reasons, why)


def test_soft_defaults_spread_the_pods_of_an_owner() -> None:
    cluster = Cluster(*(make_node(f"n{i}") for i in range(4)))
    cluster.default_selectors["rs"] = {"matchLabels": {"app": "x"}}
    pods = [make_pod(f"p{i}", owner="rs", labels={"app": "x"}) for i in range(8)]
    counts = Counter(cluster.place(p) for p in pods)
    assert set(counts.values()) == {2}


def test_host_ports_conflict() -> None:
    cluster = Cluster(make_node("a"))
    port = [{"containerPort": 80, "hostPort": 8080}]
    first, second = make_pod("x"), make_pod("y")
    for obj in (first, second):
        obj["spec"]["containers"][0]["ports"] = port
    cluster.place(first)
    reason = "1 node(s) didn't have free ports for the requested pod ports"
    assert cluster.why(second) == refusal(1, reason, victimless(1))


def test_a_missing_claim_refuses_the_pod_itself() -> None:
    cluster = Cluster(make_node("a"))
    problem = PodVolumes(problem='persistentvolumeclaim "data" not found')
    decision = cluster.decide(make_pod("p"), problem)
    assert decision.slot is None
    assert decision.why().message() == refusal(
        1, 'persistentvolumeclaim "data" not found', helpless(1)
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2000), st.booleans()), max_size=40))
def test_columns_equal_a_recount(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever pods come and go, requested resources are those of the pods that are there."""
    cluster = Cluster(*(make_node(f"n{i}") for i in range(5)))
    there: dict[str, tuple[int, int]] = {}
    for index, (node, milli, remove) in enumerate(steps):
        if remove and there:
            uid = next(iter(there))
            cluster.state.displace(uid)
            del there[uid]
        else:
            obj = make_pod(f"p{index}", cpu=f"{milli}m", labels={"app": "x"})
            cluster.state.place(cluster.facts(obj), f"n{node}")
            there[obj["metadata"]["uid"]] = (node, milli)
    cpu = cluster.state.columns.requested("cpu")
    for node in range(5):
        slot = cluster.state.columns.slot(f"n{node}")
        assert slot is not None
        assert cpu[slot] == sum(m for n, m in there.values() if n == node)
    assert np.all(cpu >= 0)
