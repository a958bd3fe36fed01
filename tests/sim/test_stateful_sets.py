"""StatefulSets: ordinals, claims and how they are kept, updates several at a time."""

import asyncio

import pytest

from sagong.api.meta import is_deleting, name_of, owner_references_of
from sagong.api.types import Obj
from sagong.sim.checkers import is_pod_ready
from sagong.sim.world import Simulation

from .rehearsals import SETTLE_SECONDS, play, template, workload

SETS = "statefulsets.apps"
CLAIMS = "persistentvolumeclaims"


def stateful(replicas: int, **spec: object) -> Obj:
    return workload("StatefulSet", "db", replicas, serviceName="db", **spec)


def names(world: Simulation) -> list[str]:
    pods = [p for p in world.view.list("pods", "default") if not is_deleting(p)]
    return sorted(name_of(p) for p in pods)


def claims(world: Simulation) -> list[str]:
    return sorted(name_of(c) for c in world.view.list(CLAIMS, "default"))


def status(world: Simulation) -> Obj:
    return world.status(SETS, "db")


async def settle(world: Simulation, replicas: int) -> None:
    def holds() -> bool:
        found = world.view.get(SETS, "default", "db")
        seen = status(world)
        return (
            found is not None
            and seen.get("observedGeneration") == found["metadata"]["generation"]
            and seen.get("availableReplicas") == seen.get("replicas") == replicas
            and seen.get("updatedReplicas", 0) == replicas
        )

    await world.wait(holds, SETTLE_SECONDS)


def test_ordinals_may_start_anywhere() -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(SETS, stateful(2, ordinals={"start": 5}))
        await settle(world, 2)
        assert names(world) == ["db-5", "db-6"]
        # Moving the start moves the pods, never more than are wanted.
        await world.change(SETS, "db", {"spec": {"ordinals": {"start": 6}}})
        await world.wait(lambda: names(world) == ["db-6", "db-7"], SETTLE_SECONDS)
        await world.change(SETS, "db", {"spec": {"ordinals": None}})
        await world.wait(lambda: names(world) == ["db-0", "db-1"], SETTLE_SECONDS)

    play(scenario, 0)


async def volumes(world: Simulation, count: int) -> None:
    for number in range(count):
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/tmp/{number}"},
            "persistentVolumeReclaimPolicy": "Retain",
        }
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"v{number}"},
            "spec": spec,
        }
        await world.apply("persistentvolumes", volume)


def with_claims(replicas: int, **policy: str) -> Obj:
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    more: dict[str, object] = {"volumeClaimTemplates": [claim]}
    if policy:
        more["persistentVolumeClaimRetentionPolicy"] = policy
    return stateful(replicas, **more)


@pytest.mark.parametrize(
    ("policy", "after_scaling", "after_deletion"),
    [
        ({}, 3, 3),
        ({"whenScaled": "Delete"}, 1, 1),
        ({"whenDeleted": "Delete"}, 3, 0),
        ({"whenScaled": "Delete", "whenDeleted": "Delete"}, 1, 0),
    ],
)
def test_claims_are_kept_as_asked(
    policy: dict[str, str], after_scaling: int, after_deletion: int
) -> None:
    async def scenario(world: Simulation) -> None:
        await volumes(world, 4)
        await world.apply(SETS, with_claims(3, **policy))
        await settle(world, 3)
        assert claims(world) == ["data-db-0", "data-db-1", "data-db-2"]
        await world.change(SETS, "db", {"spec": {"replicas": 1}})
        await settle(world, 1)
        await world.wait(lambda: len(claims(world)) == after_scaling)
        await asyncio.sleep(30)
        assert len(claims(world)) == after_scaling
        await world.delete(SETS, "db")
        await world.wait(lambda: not names(world) and len(claims(world)) == after_deletion)
        await asyncio.sleep(30)
        assert len(claims(world)) == after_deletion

    play(scenario, 0)


def test_a_claim_that_was_scaled_away_is_taken_up_again() -> None:
    async def scenario(world: Simulation) -> None:
        await volumes(world, 2)
        await world.apply(SETS, with_claims(2))
        await settle(world, 2)
        before = world.view.get(CLAIMS, "default", "data-db-1")
        await world.change(SETS, "db", {"spec": {"replicas": 1}})
        await settle(world, 1)
        await world.change(SETS, "db", {"spec": {"replicas": 2}})
        await settle(world, 2)
        after = world.view.get(CLAIMS, "default", "data-db-1")
        assert before is not None
        assert after is not None
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert owner_references_of(after) == []

    play(scenario, 0)


@pytest.mark.parametrize(
    ("most", "policy"), [(1, "OrderedReady"), (2, "OrderedReady"), (3, "Parallel")]
)
def test_updates_take_so_many_at_a_time(most: int, policy: str) -> None:
    async def scenario(world: Simulation) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": most}}
        await world.apply(SETS, stateful(5, updateStrategy=strategy, podManagementPolicy=policy))
        await settle(world, 5)
        least = [5]

        def look(view: object, seen: object) -> None:
            pods = world.view.list("pods", "default")
            ready = sum(is_pod_ready(p) and not is_deleting(p) for p in pods)
            least[0] = min(least[0], ready)

        world.view.checks.append(look)
        await world.change(SETS, "db", {"spec": {"template": template("db", "two:2")}})
        await settle(world, 5)
        assert least[0] == 5 - most

    play(scenario, 0)


def test_it_waits_for_pods_to_be_available() -> None:
    async def scenario(world: Simulation) -> None:
        begun = world.clock.monotonic()
        await world.apply(SETS, stateful(3, minReadySeconds=20))
        await world.wait(lambda: status(world).get("readyReplicas") == 1)
        assert not status(world).get("availableReplicas")
        await settle(world, 3)
        assert world.clock.monotonic() - begun >= 60

    play(scenario, 0)
