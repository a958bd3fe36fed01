"""The same decisions as the plain, obvious implementation, in clusters made by chance.

``SAGONG_SCHEDULER_SEEDS=20000 pytest tests/unit/scheduler/test_oracle.py`` tries more of them.
"""

import os
import random
from collections import Counter

import pytest
from tests.unit.scheduler import plain
from tests.unit.scheduler.cluster import Cluster
from tests.unit.scheduler.random_clusters import NAMESPACES, random_node, random_pod

from sagong.api.types import Obj
from sagong.scheduler import columns

SEEDS = int(os.environ.get("SAGONG_SCHEDULER_SEEDS", "1200"))
_CHUNK = 100


def compare(cluster: Cluster, oracle: plain.PlainCluster, pod: Obj) -> str | None:
    """Decide by both; where the pod goes. What differs is an assertion."""
    refusals = {n["metadata"]["name"]: plain.refusal(oracle, pod, n) for n in oracle.nodes}
    feasible = [n for n in oracle.nodes if refusals[n["metadata"]["name"]] is None]
    decision = cluster.decide(pod)
    if not feasible:
        assert decision.slot is None
        reasons = Counter(r for found in refusals.values() if found for r in found[0])
        assert decision.why().reasons == reasons
        helpful = sum(found is not None and found[1] for found in refusals.values())
        assert decision.why().evictable == helpful
        return None
    assert decision.slot is not None, refusals
    name = cluster.state.columns.names[decision.slot]
    assert refusals[name] is None
    totals = plain.scores(oracle, pod, feasible)
    best = max(totals.values())
    assert totals[name] == best, (name, totals, decision.scores)
    if len(feasible) > 1:
        assert sum(decision.scores.values()) == best
        assert decision.ties == sum(total == best for total in totals.values())
    return name


def life(seed: int) -> None:
    """A cluster in which pods come, go and change, nodes too; every decision is compared."""
    rng = random.Random(seed)
    nodes = [random_node(rng, f"n{i}") for i in range(rng.randrange(2, 8))]
    cluster = Cluster(*nodes, namespaces=NAMESPACES)
    oracle = plain.PlainCluster(nodes, NAMESPACES)
    kinds = [random_pod(rng, "kind") for _ in range(4)]
    for step in range(rng.randrange(4, 20)):
        # Alike pods come again, as those of a workload do.
        pod = rng.choice(kinds) if rng.random() < 0.7 else random_pod(rng, "kind")
        pod = {**pod, "metadata": {**pod["metadata"], "name": f"p{step}", "uid": f"u{step}"}}
        where = compare(cluster, oracle, pod)
        if where is None and rng.random() < 0.5:
            # Pods get to nodes by other ways too, fitting or not.
            where = rng.choice(oracle.nodes)["metadata"]["name"]
        if where is not None:
            cluster.state.place(cluster.facts(pod), where)
            oracle.placed.append((pod, where))
        if oracle.placed and rng.random() < 0.25:
            gone, _ = oracle.placed.pop(rng.randrange(len(oracle.placed)))
            cluster.state.displace(gone["metadata"]["uid"])
        if rng.random() < 0.15:
            change_node(rng, cluster, oracle, step)


def change_node(
    rng: random.Random, cluster: Cluster, oracle: plain.PlainCluster, step: int
) -> None:
    index = rng.randrange(len(oracle.nodes))
    name = oracle.nodes[index]["metadata"]["name"]
    if rng.random() < 0.3 and len(oracle.nodes) > 1:
        del oracle.nodes[index]
        cluster.state.remove_node(name)
        return
    name = name if rng.random() < 0.6 else f"m{step}"
    node = random_node(rng, name)
    if name == oracle.nodes[index]["metadata"]["name"]:
        oracle.nodes[index] = node
    else:
        oracle.nodes.append(node)
    cluster.state.set_node(columns.facts_of(node))


@pytest.mark.parametrize("first", range(0, SEEDS, _CHUNK))
def test_decisions_are_those_of_the_plain_implementation(first: int) -> None:
    for seed in range(first, first + _CHUNK):
        try:
            life(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
