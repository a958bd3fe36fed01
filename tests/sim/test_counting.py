"""Jobs over pods that fail, nodes that die and controllers that forget: every end counts once."""

import pytest

from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.sim.checkers import pods_of
from sagong.sim.faults import BAD_DAY
from sagong.sim.lives import EXIT_CODE, RUNS_SECONDS
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import SETTLE_SECONDS, amid_trouble, object_of, play, template

JOBS = "jobs.batch"


def job(name: str, exit_code: int, **spec: object) -> Obj:
    pods = template("work", **{RUNS_SECONDS: "5", EXIT_CODE: str(exit_code)})
    pods["spec"]["restartPolicy"] = "Never"
    return object_of("batch/v1", "Job", name, spec={"template": pods, **spec})


def is_done(world: Simulation, name: str) -> bool:
    found = world.view.get(JOBS, "default", name) or {}
    return any(condition(found, type_) for type_ in ("Complete", "Failed"))


@pytest.mark.parametrize("seed", range(8))
def test_every_end_is_counted_once(seed: int) -> None:
    async def scenario(world: Simulation) -> None:
        async def work() -> None:
            good = job("good", 0, completions=8, parallelism=3, completionMode="Indexed")
            await world.apply(JOBS, good)
            await world.apply(JOBS, job("bad", 3, backoffLimit=2))
            await world.wait(
                lambda: is_done(world, "good") and is_done(world, "bad"), SETTLE_SECONDS
            )

        await amid_trouble(world, work, 3)
        good, bad = world.status(JOBS, "good"), world.status(JOBS, "bad")
        assert (good.get("succeeded"), good.get("completedIndexes")) == (8, "0-7")
        assert bad.get("failed") == len(pods_of(world.view, "Job", "bad")) == 3
        for pod in world.view.list("pods"):
            assert not pod["metadata"].get("finalizers"), "a counted pod keeps its finalizer"

    config = SimulationConfig(faults=BAD_DAY if seed % 2 else SimulationConfig().faults)
    play(scenario, seed, config)
