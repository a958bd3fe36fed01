"""Nodes that fall silent, die and return; pods that must move, or must not."""

import asyncio

import pytest

from sagong.api.meta import condition, is_deleting
from sagong.sim.checkers import is_pod_ready
from sagong.sim.faults import BAD_DAY
from sagong.sim.view import Seen, View
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import SETTLE_SECONDS, is_rolled, play, workload

DEPLOYMENTS = "deployments.apps"


def taints(world: Simulation, name: str) -> set[tuple[str, str]]:
    node = world.view.get("nodes", "", name)
    assert node is not None
    return {(t["key"], t["effect"]) for t in node["spec"].get("taints") or ()}


def settled(world: Simulation) -> bool:
    return is_rolled(world, DEPLOYMENTS, "web", 6, "one:1")


@pytest.mark.parametrize("seed", range(6))
def test_a_silent_node_is_told_emptied_and_taken_back(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 6))
        await world.wait(lambda: settled(world))
        name = world.random.choice(sorted(world.fleet.nodes))
        (world.fleet.kill if seed % 2 else world.fleet.silence)(name)

        def here() -> list[dict[str, object]]:
            return [p for p in world.view.list("pods") if p["spec"].get("nodeName") == name]

        def ready() -> str:
            found = condition(world.view.get("nodes", "", name) or {}, "Ready")
            return str(found and found["status"])

        await world.wait(lambda: ready() == "Unknown", 120)
        unreachable = "node.kubernetes.io/unreachable"
        both = {(unreachable, "NoSchedule"), (unreachable, "NoExecute")}
        await world.wait(lambda: taints(world, name) == both)
        await world.wait(lambda: not any(is_pod_ready(p) for p in here()))
        # Tolerated for five minutes by default; then replaced elsewhere, and ended on its return.
        await world.wait(lambda: all(is_deleting(p) for p in here()), 400)
        await world.wait(
            lambda: world.status(DEPLOYMENTS, "web").get("availableReplicas") == 6, SETTLE_SECONDS
        )
        world.fleet.revive(name)
        await world.wait(lambda: ready() == "True" and not taints(world, name))
        await world.wait(lambda: settled(world) and not any(map(is_deleting, here())))

    config = SimulationConfig(faults=BAD_DAY if seed >= 4 else SimulationConfig().faults)
    play(scenario, seed, config)


@pytest.mark.parametrize("seed", range(3))
def test_pods_of_a_node_that_is_taken_away_are_replaced(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 6))
        await world.wait(lambda: settled(world))
        world.fleet.remove("node-1")
        await world.delete("nodes", "node-1", None)

        def nodes() -> set[str]:
            return {p["spec"].get("nodeName", "") for p in world.view.list("pods")}

        await world.wait(lambda: nodes() == {"node-0", "node-2"}, SETTLE_SECONDS)
        await world.wait(lambda: settled(world), SETTLE_SECONDS)

    play(scenario, seed)


@pytest.mark.parametrize("seed", range(3))
def test_controllers_that_were_cut_off_blame_no_node(seed: int) -> None:
    """Longer than a node may be silent; when they hear again nobody has been."""

    async def scenario(world: Simulation) -> None:
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 6))
        await world.wait(lambda: settled(world))

        def never(view: View, seen: Seen) -> None:
            if seen.resource == "nodes" and seen.new is not None:
                ready = condition(seen.new, "Ready")
                assert ready is None or ready["status"] == "True", "called silent"

        world.view.checks.append(never)
        link = world.link("control plane")
        for seconds in (20, 70, 5):
            link.cut()
            await asyncio.sleep(seconds)
            link.mend()
            await asyncio.sleep(world.random.uniform(1, 100))
        await asyncio.sleep(120)
        # It has not become deaf: a node that does fall silent is found.
        world.view.checks.remove(never)
        world.fleet.silence("node-0")
        await world.wait(lambda: bool(taints(world, "node-0")), 120)

    play(scenario, seed)
