"""Stateful sets, daemon sets and budgets: the rules of each, one at a time."""

from collections.abc import Sequence
from typing import Any

import pytest

from sagong.api.meta import labels_of, name_of
from sagong.api.types import Obj
from sagong.controllers.apps import daemonset_nodes, daemonset_plan, statefulset_plan
from sagong.controllers.apps.daemonset_backoff import FailedPods
from sagong.controllers.apps.statefulset_identity import retained_claim
from sagong.controllers.apps.statefulset_plan import CreatePod, DeletePod
from sagong.controllers.pods.revisions import current, data_of
from sagong.controllers.policy.poddisruptionbudget import Expected, plan
from sagong.core.clock import format_time

from .objects import NOW, meta, pod, template

HASH = "controller-revision-hash"


def stateful(replicas: int = 3, **spec: Any) -> Obj:
    wanted = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "x"}},
        "serviceName": "s",
        "template": template(),
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": meta("db"),
        "spec": wanted | spec,
        "status": {},
    }


def revision(name: str, image: str = "one:1") -> Obj:
    return {"metadata": meta(name), "data": data_of(template(image)), "revision": 1}


def member(ordinal: int, rev: str = "old", **more: Any) -> Obj:
    name = f"db-{ordinal}"
    labels = {
        HASH: rev,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(ordinal),
    }
    return pod(name, labels=labels, **more)


def steps(set_: Obj, pods: Sequence[Obj], claims: dict[str, Obj] | None = None) -> list[str]:
    seen = statefulset_plan.Seen(
        set_, revision("old"), revision("new", "two:2"), pods, claims or {}
    )
    found = []
    for action in statefulset_plan.plan(seen, now=NOW).actions:
        if isinstance(action, CreatePod):
            rev = labels_of(action.pod)[HASH]
            found.append(f"+{name_of(action.pod)}:{rev}")
        elif isinstance(action, DeletePod):
            found.append(f"-{name_of(action.pod)}")
    return found


def going(ordinal: int) -> Obj:
    return member(ordinal, deletionTimestamp="2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("set_", "pods", "wanted"),
    [
        (stateful(), [], ["+db-0:new"]),
        (stateful(), [member(0, ready_for=None)], []),
        (stateful(), [member(0, "new")], ["+db-1:new"]),
        (stateful(podManagementPolicy="Parallel"), [], ["+db-0:new", "+db-1:new", "+db-2:new"]),
        (stateful(2, ordinals={"start": 5}), [member(5, "new")], ["+db-6:new"]),
        # Update from the highest ordinal; wait for what is under way.
        (stateful(), [member(n) for n in range(3)], ["-db-2"]),
        (stateful(), [member(0), member(1), member(2, "new", ready_for=None)], []),
        (stateful(), [member(0), member(1), member(2, "new")], ["-db-1"]),
        # Identity is taken until the pod is gone; failed ones are replaced.
        (stateful(1), [going(0)], []),
        (stateful(1), [member(0, phase="Failed")], ["-db-0"]),
        # Too many: from the highest on, one at a time.
        (stateful(1), [member(n, "new") for n in range(3)], ["-db-2"]),
        (stateful(1), [member(0, "new"), member(1, "new"), going(2)], []),
        (
            stateful(1, podManagementPolicy="Parallel"),
            [member(n, "new") for n in range(3)],
            ["-db-2", "-db-1"],
        ),
        (stateful(updateStrategy={"type": "OnDelete"}), [member(n) for n in range(3)], []),
    ],
)
def test_stateful_steps(set_: Obj, pods: Sequence[Obj], wanted: list[str]) -> None:
    assert steps(set_, pods) == wanted


def test_partition_and_max_unavailable() -> None:
    def rolling(**limits: Any) -> Obj:
        return stateful(4, updateStrategy={"type": "RollingUpdate", "rollingUpdate": limits})

    pods = [member(n) for n in range(4)]
    assert steps(rolling(partition=3), pods) == ["-db-3"]
    assert steps(rolling(partition=4), pods) == []
    assert steps(rolling(partition=2), pods[:1]) == ["+db-1:old"]
    assert steps(rolling(partition=1, maxUnavailable=2), pods) == ["-db-3", "-db-2"]


def test_claims_follow_their_policy() -> None:
    claim: Obj = {"metadata": meta("data-db-1")}
    set_ = stateful(1, persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"})
    owned = retained_claim(set_, claim, 1, member(1))
    assert owned["metadata"]["ownerReferences"][0]["uid"] == "uid-db-1"
    kept = retained_claim(stateful(2), owned, 1, member(1))
    assert "ownerReferences" not in kept["metadata"]
    both = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    set_ = stateful(2, persistentVolumeClaimRetentionPolicy=both)
    owned = retained_claim(set_, claim, 1, member(1))
    assert owned["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
    assert retained_claim(set_, owned, 1, member(1)) is owned


def test_a_stale_claim_is_waited_for() -> None:
    claims = [{"metadata": {"name": "data"}, "spec": {}}]
    ref = {"kind": "Pod", "name": "db-0", "uid": "gone"}
    stale = {"metadata": meta("data-db-0", ownerReferences=[ref])}
    set_ = stateful(1, volumeClaimTemplates=claims)
    assert steps(set_, [], {"data-db-0": stale}) == []
    assert steps(set_, [], {}) == ["+db-0:new"]


def test_rolling_back_renumbers_the_old_revision() -> None:
    set_ = stateful()
    first = revision("a") | {"revision": 1}
    second = revision("b", "two:2") | {"revision": 2}
    found = current(set_, [first, second], hash_label="h")
    assert found.renumber
    assert (name_of(found.revision), found.revision["revision"]) == ("a", 3)
    assert current(set_, [second], hash_label="h").create


def node(name: str, *taints: tuple[str, str], **labels: str) -> Obj:
    spec = {"taints": [{"key": key, "effect": effect} for key, effect in taints]}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def daemon(surge: int | str = 0, unavailable: int | str = 1, **pod_spec: Any) -> Obj:
    limits = {"maxSurge": surge, "maxUnavailable": unavailable}
    wanted = template()
    wanted["spec"] |= pod_spec
    spec = {
        "selector": {"matchLabels": {"app": "x"}},
        "template": wanted,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": limits},
    }
    kind = {"apiVersion": "apps/v1", "kind": "DaemonSet"}
    return kind | {"metadata": meta("ds"), "spec": spec, "status": {}}


def on(name: str, rev: str = "new", **more: Any) -> Obj:
    return pod(f"{rev}-{name}", node=name, labels={HASH: rev}, **more)


def daemon_steps(ds: Obj, nodes: Sequence[Obj], pods: Sequence[Obj]) -> tuple[list[str], list[str]]:
    found = daemonset_plan.plan(daemonset_plan.Seen(ds, nodes, pods, "new"), now=NOW)
    targets = [daemonset_nodes.target_of(made) for made in found.create]
    return targets, [name_of(gone) for gone in found.delete]


NODES = [node("a"), node("b"), node("c")]


@pytest.mark.parametrize(
    ("ds", "nodes", "pods", "create", "delete"),
    [
        (daemon(), NODES, [on("a")], ["b", "c"], []),
        (daemon(nodeSelector={"z": "1"}), [node("a"), node("b", z="1")], [], ["b"], []),
        (daemon(), [node("a", ("k", "NoSchedule"))], [on("a")], [], []),
        (daemon(), [node("a", ("k", "NoExecute"))], [on("a")], [], ["new-a"]),
        (daemon(), [node("a", ("node.kubernetes.io/unreachable", "NoExecute"))], [], ["a"], []),
        (daemon(), NODES[:1], [on("a", phase="Failed")], [], ["new-a"]),
        (daemon(), NODES, [on(n, "old") for n in "abc"], [], ["old-a"]),
        (daemon(0, 2), NODES, [on(n, "old") for n in "abc"], [], ["old-a", "old-b"]),
        (daemon(), NODES, [on("a", ready_for=None), on("b", "old"), on("c", "old")], [], []),
        (daemon(), NODES, [on("a", "old", ready_for=None), on("b"), on("c")], [], ["old-a"]),
        (daemon(1, 0), NODES, [on(n, "old") for n in "abc"], ["a"], []),
        (
            daemon(1, 0),
            NODES[:1],
            [on("a", "old"), on("a", ready_for=None)],
            [],
            [],
        ),
        (daemon(1, 0), NODES[:1], [on("a", "old"), on("a")], [], ["old-a"]),
    ],
)
def test_daemon_steps(
    ds: Obj, nodes: Sequence[Obj], pods: Sequence[Obj], create: list[str], delete: list[str]
) -> None:
    assert daemon_steps(ds, nodes, pods) == (create, delete)


def test_failed_daemon_pods_wait_longer_each_time() -> None:
    """1 s, 2 s, 4 s ... 15 min; a new template, or half an hour without, begins anew."""
    failed, at, waited = FailedPods(), NOW, []
    for _ in range(12):
        failed.note("u", 1, ["a"], at)
        waited.append(failed.waits("u", 1, at)["a"])
        at += waited[-1]
        assert not failed.waits("u", 1, at)
    assert waited == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]
    failed.note("u", 1, ["b"], at)
    failed.note("u", 2, ["a"], at)
    assert failed.waits("u", 1, at) == {"b": 1}
    assert failed.waits("u", 2, at) == {"a": 1}
    assert not failed.waits("v", 1, at)
    failed.note("u", 1, ["b"], at + 1801)
    assert failed.waits("u", 1, at + 1801) == {"b": 1}


def test_a_failed_daemon_pod_stays_while_its_node_waits() -> None:
    pods = [on("a", phase="Failed"), on("b", phase="Failed"), on("c")]
    seen = daemonset_plan.Seen(daemon(), NODES, pods, "new", {"a": 3.0})
    found = daemonset_plan.plan(seen, now=NOW)
    assert [name_of(gone) for gone in found.delete] == ["new-b"]
    assert found.failed_nodes == ["b"]
    assert found.look_again == 3.0
    assert [event[1] for event in found.events] == ["FailedDaemonPod"]


def test_daemon_status() -> None:
    pods = [on("a"), on("b", "old", ready_for=None), on("d")]
    nodes = [*NODES, node("d", ("k", "NoSchedule"))]
    found = daemonset_plan.plan(daemonset_plan.Seen(daemon(), nodes, pods, "new"), now=NOW)
    assert found.status == {
        "currentNumberScheduled": 2,
        "numberMisscheduled": 1,
        "desiredNumberScheduled": 3,
        "numberReady": 1,
        "observedGeneration": 1,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberUnavailable": 2,
    }


@pytest.mark.parametrize(
    ("spec", "expected", "ready", "wanted"),
    [
        ({"maxUnavailable": 1}, 4, 4, (3, 1)),
        ({"maxUnavailable": "50%"}, 5, 5, (2, 3)),
        ({"minAvailable": "50%"}, 5, 4, (3, 1)),
        ({"minAvailable": 2}, 0, 3, (2, 1)),
        ({"minAvailable": 2}, 0, 1, (2, 0)),
        ({"maxUnavailable": 0}, 3, 3, (3, 0)),
    ],
)
def test_budgets(spec: Obj, expected: int, ready: int, wanted: tuple[int, int]) -> None:
    budget = {"metadata": meta("b"), "spec": spec, "status": {}}
    pods = [pod(f"p{n}") for n in range(ready)]
    status = plan(budget, pods, Expected(expected), now=NOW).status
    assert (status["desiredHealthy"], status["disruptionsAllowed"]) == wanted


def test_granted_evictions_count_until_they_expire() -> None:
    granted = {"p0": format_time(NOW - 30), "p1": format_time(NOW - 300)}
    status = {"disruptedPods": granted}
    budget = {"metadata": meta("b"), "spec": {"maxUnavailable": 2}, "status": status}
    decided = plan(budget, [pod(f"p{n}") for n in range(4)], Expected(4), now=NOW)
    assert decided.status["currentHealthy"] == 3
    assert decided.status["disruptedPods"] == {"p0": granted["p0"]}
    assert decided.look_again == 90
