"""The scheduler while pods and nodes come and go and its own decisions get lost."""

import asyncio

import pytest

from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.sim.faults import BAD_DAY
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import SETTLE_SECONDS, amid_trouble, object_of, play


def pod(name: str, cpu: str) -> Obj:
    container = {"name": "main", "image": "one:1", "resources": {"requests": {"cpu": cpu}}}
    return object_of("v1", "Pod", name, spec={"containers": [container]})


def unbound(world: Simulation) -> list[Obj]:
    return [p for p in world.view.list("pods", "default") if not p["spec"].get("nodeName")]


def is_told(pod: Obj) -> bool:
    told = condition(pod, "PodScheduled") or {}
    return told.get("reason") == "Unschedulable" and "Insufficient cpu" in told["message"]


@pytest.mark.parametrize("seed", range(8))
def test_no_node_is_given_more_than_it_has(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        async def work() -> None:
            for number in range(40):
                await world.apply("pods", pod(f"p-{number}", world.random.choice(("1", "700m"))))
                if number % 3 == 2:
                    await world.delete("pods", f"p-{world.random.randrange(number)}")
                await asyncio.sleep(world.random.uniform(0, 1))

        await amid_trouble(world, work, 3)
        # More than fits: what waits is told why, and gets the room that others leave.
        await world.wait(lambda: all(map(is_told, unbound(world))), SETTLE_SECONDS)
        for name in [p["metadata"]["name"] for p in world.view.list("pods", "default")][:20]:
            await world.delete("pods", name)
        await world.wait(lambda: not unbound(world), SETTLE_SECONDS)

    rates = BAD_DAY if seed % 2 else SimulationConfig().faults
    play(scenario, seed, SimulationConfig(nodes=3, node_cpu="4", faults=rates))


def test_a_report_that_nobody_hears_does_not_end_the_scheduler() -> None:
    """Once a lost status write ended the scheduler, and every controller of its process with it."""

    async def scenario(world: Simulation) -> None:
        await world.apply("pods", pod("too-big", "100"))
        link = world.link("control plane")
        await world.wait(lambda: world.view.get("pods", "default", "too-big") is not None)
        link.cut()
        await asyncio.sleep(5)
        link.mend()
        await world.apply("pods", pod("fits", "1"))
        await world.wait(lambda: len(unbound(world)) == 1, SETTLE_SECONDS)
        await world.wait(lambda: all(map(is_told, unbound(world))), SETTLE_SECONDS)

    for seed in range(3):
        play(scenario, seed)
