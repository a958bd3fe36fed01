"""What ends, holds and replaces the pods of Jobs, from end to end in virtual time."""

import asyncio

import pytest

from sagong.api.meta import condition, is_deleting, name_of
from sagong.api.types import Obj
from sagong.sim.lives import EXIT_CODE, RUNS_SECONDS, STOP_SECONDS
from sagong.sim.world import Simulation

from .rehearsals import object_of, play, template

JOBS = "jobs.batch"


def job(seconds: int = 5, exit_code: int = 0, stop: int = 1, **spec: object) -> Obj:
    behavior = {RUNS_SECONDS: str(seconds), EXIT_CODE: str(exit_code), STOP_SECONDS: str(stop)}
    pods = template("work", **behavior)
    pods["spec"]["restartPolicy"] = "Never"
    return object_of("batch/v1", "Job", "work", spec={"template": pods, **spec})


def status(world: Simulation) -> Obj:
    return world.status(JOBS, "work")


def reason(world: Simulation, type_: str) -> str | None:
    found = condition(world.view.get(JOBS, "default", "work") or {}, type_)
    return None if found is None else str(found["reason"])


def pods(world: Simulation) -> list[Obj]:
    return world.view.list("pods", "default")


def test_a_deadline_ends_it() -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(JOBS, job(1000, activeDeadlineSeconds=30, parallelism=2))
        await world.wait(lambda: reason(world, "Failed") is not None)
        assert reason(world, "Failed") == reason(world, "FailureTarget") == "DeadlineExceeded"
        assert not [
            p for p in pods(world) if not is_deleting(p) and p["status"]["phase"] == "Running"
        ]
        assert status(world)["failed"] == 2
        assert "active" not in status(world)

    play(scenario, 0)


def test_a_suspended_time_does_not_count() -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(JOBS, job(40, activeDeadlineSeconds=60, suspend=True))
        await asyncio.sleep(100)
        assert pods(world) == []
        assert "startTime" not in status(world)
        await world.change(JOBS, "work", {"spec": {"suspend": False}})
        await world.wait(lambda: reason(world, "Complete") is not None)
        assert reason(world, "Suspended") == "JobResumed"

    play(scenario, 0)


def test_another_controllers_job_is_left_alone() -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(JOBS, job(managedBy="example.com/other"))
        await asyncio.sleep(60)
        assert pods(world) == []
        assert not status(world)

    play(scenario, 0)


@pytest.mark.parametrize(("policy", "together"), [("TerminatingOrFailed", True), ("Failed", False)])
def test_a_terminating_pod_is_replaced_at_once_or_when_it_has_ended(
    policy: str, together: bool
) -> None:
    async def scenario(world: Simulation) -> None:
        await world.apply(JOBS, job(200, stop=20, podReplacementPolicy=policy))
        await world.wait(lambda: status(world).get("ready") == 1)
        first = pods(world)[0]
        await world.delete("pods", name_of(first))
        await asyncio.sleep(15)
        replaced = [p for p in pods(world) if name_of(p) != name_of(first)]
        assert bool(replaced) == together
        assert status(world)["terminating"] == 1
        await world.wait(lambda: reason(world, "Complete") is not None)
        assert status(world)["failed"] == 1
        assert status(world)["terminating"] == 0

    play(scenario, 0)


def test_failures_of_an_index_wait_for_themselves_only() -> None:
    async def scenario(world: Simulation) -> None:
        indexed = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
        await world.apply(JOBS, job(2, 1, backoffLimitPerIndex=2, **indexed))
        await world.wait(lambda: reason(world, "Failed") is not None)
        assert reason(world, "Failed") == "FailedIndexes"
        assert status(world)["failedIndexes"] == "0-2"
        # Each index three times; two waits of 10 and 20 seconds, at the same time for all.
        assert status(world)["failed"] == 9
        assert 35 <= world.clock.monotonic() <= 75

    play(scenario, 0)


def test_fewer_completions_are_taken_as_done() -> None:
    """An elastic Indexed Job: completions and parallelism change together."""

    async def scenario(world: Simulation) -> None:
        indexed = {"completionMode": "Indexed", "completions": 4, "parallelism": 4}
        await world.apply(JOBS, job(100, **indexed))
        await world.wait(lambda: status(world).get("ready") == 4)
        smaller = {"spec": {"completions": 2, "parallelism": 2}}
        await world.change(JOBS, "work", smaller)
        await world.wait(lambda: status(world).get("active") == 2)
        await world.wait(lambda: reason(world, "Complete") is not None)
        assert status(world)["completedIndexes"] == "0,1"
        assert status(world)["succeeded"] == 2

    play(scenario, 0)


def test_a_work_queue_ends_when_all_have() -> None:
    """Without completions one success stops new pods; the others finish."""

    async def scenario(world: Simulation) -> None:
        await world.apply(JOBS, job(5, parallelism=3))
        await world.wait(lambda: reason(world, "Complete") is not None)
        assert status(world)["succeeded"] == 3
        assert reason(world, "Complete") == "CompletionsReached"

    play(scenario, 0)
