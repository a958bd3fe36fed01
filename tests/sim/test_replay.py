"""The same seed gives the same history; and a red run says how to see it again."""

import os
import subprocess
import sys

import pytest

from sagong.sim.faults import BAD_DAY
from sagong.sim.view import Seen, View
from sagong.sim.world import Simulation, SimulationConfig

from .rehearsals import SETTLE_SECONDS, amid_trouble, is_rolled, play, workload

DEPLOYMENTS = "deployments.apps"


def history(seed: int) -> list[tuple[int, str, str]]:
    """Every change of the store in a run with faults and crashes."""
    changes: list[tuple[int, str, str]] = []

    def note(view: View, seen: Seen) -> None:
        changes.append((seen.revision, seen.resource, f"{seen.key.namespace}/{seen.key.name}"))

    async def scenario(world: Simulation) -> None:
        async def work() -> None:
            await world.apply(DEPLOYMENTS, workload("Deployment", "web", 3))

        await amid_trouble(world, work, 2)
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 3, "one:1"), SETTLE_SECONDS)

    play(scenario, seed, SimulationConfig(faults=BAD_DAY), note)
    return changes


def test_a_seed_repeats_its_history() -> None:
    first, again, other = history(1), history(1), history(2)
    assert first == again
    assert first != other


def test_a_seed_is_one_run_however_strings_are_hashed() -> None:
    """Each process hashes strings otherwise; sets of them are in another order in each."""
    command = [sys.executable, "-m", "sagong", "sim", "rehearse"]
    command += ["--seed", "3", "--nodes", "4", "--replicas", "6", "--troubles", "2"]
    processes = [
        subprocess.Popen(
            command, env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True
        )
        for seed in ("0", "1", "2")
    ]
    told = {process.communicate()[0] for process in processes}
    assert len(told) == 1, told
    assert ", trace " in told.pop()


def test_a_red_run_says_how_to_see_it_again() -> None:
    async def scenario(world: Simulation) -> None:
        world.view.broken.append("a broken promise")
        world.check()

    with pytest.raises(BaseExceptionGroup) as caught:
        play(scenario, 7)
    assert any("replay: seed 7" in note for note in caught.value.__notes__)
    assert caught.group_contains(AssertionError, match="a broken promise")
