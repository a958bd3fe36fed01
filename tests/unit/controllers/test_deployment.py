"""Deployments: rounding, proportions, and that every rollout converges within its limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagong.api.meta import deep_copy, name_of
from sagong.api.types import Obj
from sagong.controllers.apps.deployment import Seen, plan
from sagong.controllers.apps.deployment_facts import Fenceposts, fenceposts, replicas_of
from sagong.controllers.apps.deployment_revision import new_set_annotations
from sagong.controllers.apps.deployment_rollout import CreateSet, DeleteSet, UpdateSet

from .objects import NOW, deployment, meta, rolling, template


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "wanted"),
    [
        (10, "25%", "25%", (3, 2)),
        (4, "25%", "25%", (1, 1)),
        (1, "25%", "25%", (1, 0)),
        (3, 0, 0, (0, 1)),
        (3, "0%", "10%", (0, 1)),
        (3, 1, 5, (1, 3)),
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_surge_rounds_up_and_unavailability_down(
    replicas: int, surge: int | str, unavailable: int | str, wanted: tuple[int, int]
) -> None:
    found = fenceposts(deployment(replicas, strategy=rolling(surge, unavailable)))
    assert found == Fenceposts(*wanted)


def rs(name: str, size: int, image: str, *, most: int, desired: int) -> Obj:
    annotations = {
        "deployment.kubernetes.io/desired-replicas": str(desired),
        "deployment.kubernetes.io/max-replicas": str(most),
        "deployment.kubernetes.io/revision": name[-1],
    }
    created = f"2026-01-01T00:00:0{name[-1]}Z"
    status = {"replicas": size, "readyReplicas": size, "availableReplicas": size}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": meta(name, annotations=annotations, creationTimestamp=created),
        "spec": {"replicas": size, "template": template(image)},
        "status": status | {"observedGeneration": 1, "terminatingReplicas": 0},
    }


@pytest.mark.parametrize(
    ("replicas", "before", "sizes", "wanted"),
    [
        # Upstream's own cases: new set first, then older ones.
        (12, 10, (5, 5), (6, 6)),
        (5, 10, (5, 5), (3, 2)),
        (20, 10, (8, 2), (16, 4)),
        (50, 15, (5, 5, 5), (17, 17, 16)),
        (10, 15, (5, 5, 5), (4, 3, 3)),
        (0, 10, (5, 5), (0, 0)),
    ],
)
def test_scaling_amid_a_rollout_keeps_proportions(
    replicas: int, before: int, sizes: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    d = deployment(replicas, image="i0", strategy=rolling(0, 1))
    count = len(sizes)
    sets = [
        rs(f"rs-{count - i}", size, f"i{i}", most=before, desired=before)
        for i, size in enumerate(sizes)
    ]
    found = {name_of(s): replicas_of(s) for s in sets}
    for action in plan(Seen(d, sets, frozenset()), now=NOW).actions:
        found[name_of(action.rs)] = replicas_of(action.rs)
    assert sum(found.values()) == replicas
    got = tuple(found[f"rs-{count - i}"] for i in range(count))
    # Equal sizes may share the rest either way round; the parts are the same.
    assert sorted(got) == sorted(wanted)


def test_revisions_are_numbered_and_remembered() -> None:
    old = rs("rs-1", 0, "one:1", most=4, desired=4)
    found = new_set_annotations(deployment(3), old, 4)
    assert found["deployment.kubernetes.io/revision"] == "4"
    assert found["deployment.kubernetes.io/revision-history"] == "1"


def test_pause_and_history() -> None:
    old = [rs(f"rs-{n}", 0, f"old:{n}", most=4, desired=4) for n in range(1, 5)]
    new = rs("rs-5", 3, "one:1", most=4, desired=3)
    d = deployment(3, paused=True, revisionHistoryLimit=2)
    decided = plan(Seen(d, [*old, new], frozenset()), now=NOW)
    deleted = [name_of(a.rs) for a in decided.actions if isinstance(a, DeleteSet)]
    assert deleted == ["rs-1", "rs-2"]
    conditions = {c["type"]: c["reason"] for c in decided.deployment["status"]["conditions"]}
    assert conditions["Progressing"] == "DeploymentPaused"


class Cluster:
    """ReplicaSets that are obeyed one pod at a time, as the drawn numbers say."""

    def __init__(self, d: Obj) -> None:
        self.deployment = d
        self.sets: dict[str, Obj] = {}

    def step(self) -> None:
        d = deep_copy(self.deployment)
        decided = plan(Seen(d, list(self.sets.values()), frozenset()), now=NOW)
        for action in decided.actions:
            made = deep_copy(action.rs)
            name = name_of(made)
            if isinstance(action, DeleteSet):
                del self.sets[name]
                continue
            if isinstance(action, CreateSet):
                number = len(self.sets) + 1
                made["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:{number:02}Z"
                made["status"] = {"replicas": 0}
            assert isinstance(action, CreateSet | UpdateSet)
            made["status"] |= {"observedGeneration": 1, "terminatingReplicas": 0}
            self.sets[name] = made
        self.deployment = decided.deployment

    def obey(self, luck: int) -> None:
        """Each set deletes what is too much at once; a pod becomes ready where luck says."""
        for number, found in enumerate(self.sets.values()):
            status, size = found["status"], found["spec"]["replicas"]
            ready = min(status.get("availableReplicas", 0), size)
            if luck >> number & 1 and ready < size:
                ready += 1
            status |= {"replicas": size, "availableReplicas": ready, "readyReplicas": ready}

    @property
    def wanted(self) -> int:
        return sum(s["spec"]["replicas"] for s in self.sets.values())

    @property
    def available(self) -> int:
        found = self.sets.values()
        return sum(min(s["status"].get("availableReplicas", 0), replicas_of(s)) for s in found)


limits = st.one_of(st.integers(0, 4), st.integers(0, 100).map(lambda n: f"{n}%"))


@given(
    replicas=st.integers(0, 12),
    surge=limits,
    unavailable=limits,
    luck=st.lists(st.integers(0, 7), min_size=5, max_size=40),
)
def test_rollouts_keep_within_limits_and_converge(
    replicas: int, surge: int | str, unavailable: int | str, luck: list[int]
) -> None:
    cluster = Cluster(deployment(replicas, strategy=rolling(surge, unavailable)))
    for _ in range(replicas + 5):
        cluster.step()
        cluster.obey(7)
    assert cluster.available == replicas
    posts = fenceposts(cluster.deployment)
    cluster.deployment["spec"]["template"] = template("two:2")
    for number in [*luck, *[7] * (replicas * 4 + 10)]:
        cluster.step()
        assert cluster.wanted <= replicas + posts.surge
        assert cluster.available >= replicas - posts.unavailable
        cluster.obey(number)
    cluster.step()
    status = cluster.deployment["status"]
    assert status.get("updatedReplicas", 0) == status.get("replicas", 0) == replicas
    reasons = {c["type"]: c["reason"] for c in status["conditions"]}
    assert reasons["Progressing"] == "NewReplicaSetAvailable"
