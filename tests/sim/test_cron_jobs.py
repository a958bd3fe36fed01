"""CronJobs as conformance tries them: schedules run for minutes, so time is virtual."""

import asyncio
from typing import Any

import pytest

from sagong.api.meta import is_deleting, name_of, uid_of
from sagong.api.types import Obj
from sagong.sim.loop import run_virtual

from .world import RUNS_SECONDS, World, template, workload, world

CRON = "cronjobs.batch"
JOBS = "jobs.batch"


def cron(name: str = "tick", runs_seconds: int = 300, **spec: Any) -> Obj:
    """Every minute a Job that runs for so long."""
    made = template("tick", **{RUNS_SECONDS: str(runs_seconds)})
    made["spec"]["restartPolicy"] = "OnFailure"
    job = {"spec": {"parallelism": 1, "completions": 1, "template": made}}
    spec = {"schedule": "*/1 * * * ?", "jobTemplate": job} | spec
    return workload("batch/v1", "CronJob", name, **spec)


def run(test: Any) -> None:
    async def main() -> None:
        async with world(nodes=2) as seen:
            await test(seen)

    run_virtual(main(), 0)


async def jobs(seen: World) -> list[Obj]:
    """As the API lists them, without those that are going."""
    found = await seen.client.list(JOBS, namespace="default")
    return [item.obj for item in found.items if not is_deleting(item.obj)]


def active(seen: World) -> list[str]:
    return [ref["name"] for ref in seen.status(CRON, "tick").get("active") or ()]


async def at_minute(seen: World, number: int) -> None:
    """A little after so many minutes."""
    await seen.wait(lambda: seen.clock.monotonic() > number * 60 + 5, 1e6)


def test_jobs_may_run_at_once() -> None:
    async def test(seen: World) -> None:
        await seen.create(CRON, cron(concurrencyPolicy="Allow"))
        await at_minute(seen, 3)
        assert len(active(seen)) == 3
        running = [j for j in await jobs(seen) if (j.get("status") or {}).get("active") == 1]
        assert len(running) == 3
        assert {name_of(j) for j in running} == set(active(seen))
        assert len(seen.events("SuccessfulCreate")) >= 3
        await seen.client.delete(CRON, "tick", namespace="default")
        await seen.wait(lambda: not list(seen.cache.list(JOBS)))
        await seen.wait(lambda: not seen.pods())

    run(test)


def test_a_suspended_one_starts_nothing() -> None:
    async def test(seen: World) -> None:
        await seen.create(CRON, cron(suspend=True))
        await at_minute(seen, 5)
        assert await jobs(seen) == []
        assert active(seen) == []
        # When it goes on, one of the missed runs is made up for, not all.
        await seen.change(CRON, "tick", {"spec": {"suspend": False}})
        await seen.wait(lambda: len(active(seen)) == 1, 30)
        assert [name_of(j) for j in await jobs(seen)] == ["tick-29453765"]

    run(test)


def test_forbid_starts_none_while_one_runs() -> None:
    async def test(seen: World) -> None:
        await seen.create(CRON, cron(concurrencyPolicy="Forbid"))
        await at_minute(seen, 1)
        first = active(seen)
        assert len(first) == 1
        for minute in (2, 3, 4):
            await at_minute(seen, minute)
            assert active(seen) == first
            assert [name_of(j) for j in await jobs(seen)] == first
        text = (
            "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        await seen.wait(lambda: text in seen.events("JobAlreadyActive"))
        # It ends after five minutes; then the next comes, for the last of the missed times.
        await at_minute(seen, 7)
        assert len(active(seen)) == 1
        assert active(seen) != first

    run(test)


def test_replace_ends_the_one_before() -> None:
    async def test(seen: World) -> None:
        most = 0

        def look(old: Obj | None, new: Obj | None) -> None:
            nonlocal most
            most = max(most, sum(not is_deleting(job) for job in seen.cache.list(JOBS)))

        await seen.create(CRON, cron(concurrencyPolicy="Replace"))
        seen.cache.on_change(JOBS, look)
        await at_minute(seen, 1)
        names = []
        for minute in (1, 2, 3):
            await at_minute(seen, minute)
            alive = await jobs(seen)
            assert [name_of(j) for j in alive] == active(seen)
            names += active(seen)
        assert len(set(names)) == 3
        assert most == 1

    run(test)


@pytest.mark.parametrize(
    ("schedule", "zone", "starts"),
    [
        ("@hourly", None, ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]),
        ("30 */1 * * *", "Asia/Kolkata", ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]),
        ("0 10 * * *", "Asia/Seoul", ["2026-01-01T01:00:00Z"]),
        ("@daily", "America/New_York", ["2026-01-01T05:00:00Z"]),
        ("@every 90m", None, ["2026-01-01T01:30:00Z", "2026-01-01T03:00:00Z"]),
        ("0-10/5 1 1 1 ?", None, [f"2026-01-01T01:{m:02}:00Z" for m in (0, 5, 10)]),
    ],
)
def test_schedules(schedule: str, zone: str | None, starts: list[str]) -> None:
    async def test(seen: World) -> None:
        wanted = {"schedule": schedule} | ({"timeZone": zone} if zone else {})
        await seen.create(CRON, cron(runs_seconds=1, successfulJobsHistoryLimit=100, **wanted))
        told: list[str] = []

        def look(old: Obj | None, new: Obj | None) -> None:
            last = ((new or {}).get("status") or {}).get("lastScheduleTime")
            if last and last not in told:
                told.append(last)

        seen.cache.on_change(CRON, look)
        await seen.wait(lambda: len(told) >= len(starts), 25 * 3600)
        assert told == starts
        await asyncio.sleep(10)
        made = await jobs(seen)
        assert len(made) == len(told)
        stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp"
        assert all(stamp in job["metadata"]["annotations"] for job in made)

    run(test)


def test_many_missed_starts_are_told_of_and_one_is_made_up_for() -> None:
    async def test(seen: World) -> None:
        await seen.create(CRON, cron(suspend=True, runs_seconds=1))
        await at_minute(seen, 150)
        await seen.change(CRON, "tick", {"spec": {"suspend": False}})
        await seen.wait(lambda: len(list(seen.cache.list(JOBS))) == 1, 30)
        text = (
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds "
            "or check clock skew"
        )
        await seen.wait(lambda: seen.events("TooManyMissedTimes") == [text], 30)
        # With a deadline only what is younger counts.
        await seen.change(CRON, "tick", {"spec": {"suspend": True, "startingDeadlineSeconds": 90}})
        await at_minute(seen, 300)
        await seen.change(CRON, "tick", {"spec": {"suspend": False}})
        await seen.wait(lambda: len(list(seen.cache.list(JOBS))) == 2, 30)
        await asyncio.sleep(30)
        # The event of hours ago has expired by now, and there is no other.
        assert seen.events("TooManyMissedTimes") == []

    run(test)


def test_history_is_kept_short() -> None:
    async def test(seen: World) -> None:
        limits = {"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}
        await seen.create(CRON, cron(runs_seconds=1, **limits))
        await at_minute(seen, 4)
        await asyncio.sleep(10)
        kept = await jobs(seen)
        assert [name_of(job) for job in kept] == ["tick-29453764"]
        assert len(seen.events("SawCompletedJob")) >= 1
        assert uid_of(kept[0])

    run(test)
