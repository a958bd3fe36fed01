"""Rollouts while what carries them out dies, hangs, loses answers, or loses its nodes."""

import asyncio

import pytest

from sagong.api import errors
from sagong.sim.checkers import KeepsReady, OneOfEachIdentity, RollsWithin
from sagong.sim.faults import BAD_DAY
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import (
    SETTLE_SECONDS,
    amid_trouble,
    is_rolled,
    object_of,
    play,
    template,
    workload,
)

DEPLOYMENTS = "deployments.apps"
SETS = "statefulsets.apps"


@pytest.mark.parametrize("seed", range(12))
def test_a_deployment_rolls_within_its_limits_whatever_dies(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 5))
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 5, "one:1"))

        async def work() -> None:
            for image in ("two:2", "three:3"):
                await world.change(
                    DEPLOYMENTS, "web", {"spec": {"template": template("web", image)}}
                )
                await asyncio.sleep(world.random.uniform(0, 8))

        await amid_trouble(world, work, 3)
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 5, "three:3"), SETTLE_SECONDS)

    config = SimulationConfig(faults=BAD_DAY if seed % 2 else SimulationConfig().faults)
    play(scenario, seed, config, RollsWithin("web"))


@pytest.mark.parametrize("seed", range(6))
def test_a_stateful_set_rolls_while_nodes_die(seed: int) -> None:
    """No pod of it ever runs twice, be its node only silent or dead."""

    async def scenario(world: Simulation) -> None:
        world.view.checks.append(OneOfEachIdentity(world.fleet))
        await world.apply(SETS, workload("StatefulSet", "db", 3, serviceName="db"))
        await world.wait(lambda: is_rolled(world, SETS, "db", 3, "one:1"))
        await world.change(SETS, "db", {"spec": {"template": template("db", "two:2")}})
        await asyncio.sleep(world.random.uniform(0, 6))
        for name in world.random.sample(sorted(world.fleet.nodes), 2):
            how = world.random.choice((world.fleet.silence, world.fleet.kill))
            how(name)
            await asyncio.sleep(world.random.uniform(20, 500))
            world.fleet.revive(name)
            await asyncio.sleep(world.random.uniform(0, 20))
        await world.wait(lambda: is_rolled(world, SETS, "db", 3, "two:2"), SETTLE_SECONDS)

    play(scenario, seed, SimulationConfig(nodes=4))


@pytest.mark.parametrize("seed", range(4))
def test_draining_nodes_keeps_a_budget(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        selector = {"matchLabels": {"app": "web"}}
        budget = object_of("policy/v1", "PodDisruptionBudget", "web")
        budget["spec"] = {"selector": selector, "minAvailable": 4}
        await world.apply("poddisruptionbudgets.policy", budget)
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 6))
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 6, "one:1"))
        await world.wait(
            lambda: world.status("poddisruptionbudgets.policy", "web").get("currentHealthy") == 6
        )

        async def drain() -> None:
            for name in ("node-0", "node-1"):
                await world.change("nodes", name, {"spec": {"unschedulable": True}}, None)
                while pods := [
                    p for p in world.view.list("pods") if p["spec"].get("nodeName") == name
                ]:
                    for pod in pods:
                        await evict(world, pod["metadata"]["name"])
                    await asyncio.sleep(1)

        await amid_trouble(world, drain, 2)
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 6, "one:1"), SETTLE_SECONDS)

    play(scenario, seed, SimulationConfig(nodes=4), KeepsReady({"app": "web"}, 4))


async def evict(world: Simulation, name: str) -> None:
    """Ask for it once; a budget that says no, or a server that is away, is asked again later."""
    eviction = object_of("policy/v1", "Eviction", name)
    try:
        await world.client.create("pods", eviction, name=name, subresource="eviction")
    except (errors.TooManyRequests, errors.NotFound, errors.ServiceUnavailable, errors.Conflict):
        return
