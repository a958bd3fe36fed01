"""What is deleted goes, with what hangs on it, and nothing else; whatever dies meanwhile."""

import pytest

from sagong.api.meta import owner_references_of
from sagong.sim.checkers import dangling
from sagong.sim.faults import BAD_DAY
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import SETTLE_SECONDS, amid_trouble, is_rolled, object_of, play, workload

DEPLOYMENTS = "deployments.apps"


def troubled(seed: int) -> SimulationConfig:
    return SimulationConfig(faults=BAD_DAY if seed % 2 else SimulationConfig().faults)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_dependents_go_or_stay_as_asked(seed: int, policy: str) -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 4))
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 4, "one:1"))

        async def work() -> None:
            await world.delete(DEPLOYMENTS, "web", policy=policy)

        await amid_trouble(world, work, 1)
        await world.wait(lambda: not world.view.list(DEPLOYMENTS), SETTLE_SECONDS)
        sets = world.view.list("replicasets.apps")
        if policy == "Orphan":
            assert len(sets) == 1
            assert len(world.view.list("pods")) == 4
            assert not owner_references_of(sets[0])
        else:
            await world.wait(lambda: not world.view.list("pods"), SETTLE_SECONDS)
            assert policy == "Background" or not sets, "the owner went before its dependents"
        await world.wait(lambda: not dangling(world.view), SETTLE_SECONDS)

    play(scenario, seed, troubled(seed))


@pytest.mark.parametrize("seed", range(6))
def test_a_namespace_takes_everything_with_it(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
        await world.apply("namespaces", namespace)
        await world.wait(lambda: world.view.get("serviceaccounts", "team", "default") is not None)
        for obj, resource in (
            (workload("Deployment", "web", 3), DEPLOYMENTS),
            (object_of("v1", "ConfigMap", "settings"), "configmaps"),
            (object_of("v1", "Secret", "secret"), "secrets"),
        ):
            obj["metadata"]["namespace"] = "team"
            await world.apply(resource, obj)

        async def work() -> None:
            await world.delete("namespaces", "team", None)

        await amid_trouble(world, work, 2)
        await world.wait(lambda: world.view.get("namespaces", "", "team") is None, SETTLE_SECONDS)
        left = [(r, o["metadata"]["name"]) for r, o in world.view.all() if in_team(o)]
        # Events about what is going may come after the namespace's content was emptied.
        assert [found for found in left if found[0] != "events"] == []
        assert not dangling(world.view)

    play(scenario, seed, troubled(seed))


def in_team(obj: dict[str, dict[str, str]]) -> bool:
    return obj["metadata"].get("namespace") == "team"


@pytest.mark.parametrize("seed", range(2))
def test_an_orphan_of_nobody_is_collected_and_a_claimed_one_is_kept(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        owner = await world.apply("configmaps", object_of("v1", "ConfigMap", "owner"))
        ref = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner"}
        for name, uid in (("kept", owner["metadata"]["uid"]), ("lost", "0-0")):
            made = object_of("v1", "ConfigMap", name)
            made["metadata"]["ownerReferences"] = [ref | {"uid": uid}]
            await world.apply("configmaps", made)
        await world.wait(lambda: world.view.get("configmaps", "default", "lost") is None)
        assert world.view.get("configmaps", "default", "kept") is not None
        await world.delete("configmaps", "owner")
        await world.wait(lambda: world.view.get("configmaps", "default", "kept") is None)

    play(scenario, seed)
