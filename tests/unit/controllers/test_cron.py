"""Schedules, missed runs, concurrency."""

from typing import Any

import pytest

from sagong.api.cron import CronError, parse_schedule
from sagong.api.types import Obj
from sagong.controllers.batch.cronjob_plan import most_recent, plan
from sagong.core.clock import format_time, parse_time

from .objects import NOW, meta


def times(text: str, after: str, zone: str | None = None, count: int = 3) -> list[str | None]:
    schedule, at, found = parse_schedule(text, zone), parse_time(after), []
    for _ in range(count):
        following = schedule.next(at)
        found.append(None if following is None else format_time(following)[:16])
        if following is None:
            break
        at = following
    return found


@pytest.mark.parametrize(
    ("text", "zone", "after", "wanted"),
    [
        ("*/20 * * * *", None, "2026-01-01T00:00:30Z", ["2026-01-01T00:20", "2026-01-01T00:40"]),
        ("0 0 1 * mon", None, "2026-01-30T00:00:00Z", ["2026-02-01T00:00", "2026-02-02T00:00"]),
        ("5/30 3 * * ?", None, "2026-01-01T00:00:00Z", ["2026-01-01T03:05", "2026-01-01T03:35"]),
        ("0 12 29 2 *", None, "2026-01-01T00:00:00Z", ["2028-02-29T12:00", "2032-02-29T12:00"]),
        ("@weekly", None, "2026-01-01T00:00:00Z", ["2026-01-04T00:00", "2026-01-11T00:00"]),
        ("0 9 * JAN-FEB *", "Asia/Seoul", "2026-01-01T00:00:00Z", ["2026-01-02T00:00"]),
        # The clock skips 02:30 on 8 March, and repeats 01:30 on 1 November.
        ("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", ["2026-03-09T06:30"]),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00:00Z",
            ["2026-11-01T05:30", "2026-11-01T06:30", "2026-11-02T06:30"],
        ),
        ("0 0 30 2 *", None, "2026-01-01T00:00:00Z", [None]),
    ],
)
def test_next_times(text: str, zone: str | None, after: str, wanted: list[str | None]) -> None:
    assert times(text, after, zone, len(wanted)) == wanted


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* * * * 7", "5-1 * * * *", "*/0 * * * *", "@often", "x"]
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(CronError):
        parse_schedule(text)


def cron(created_ago: float = 90, **spec: Any) -> Obj:
    wanted = {"schedule": "* * * * *", "jobTemplate": {"spec": {}}, "concurrencyPolicy": "Allow"}
    created = format_time(NOW - created_ago)
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": meta("c", creationTimestamp=created),
        "spec": wanted | spec,
        "status": {},
    }


def test_the_latest_missed_time_is_served_once() -> None:
    decided = plan(cron(), [], (), now=NOW + 1)
    assert decided.start is not None
    assert decided.start.job["metadata"]["name"] == f"c-{int(NOW) // 60}"
    assert decided.look_again == pytest.approx(59.1)
    served = cron() | {"status": {"lastScheduleTime": format_time(NOW)}}
    assert plan(served, [], (), now=NOW + 1).start is None


def test_very_many_missed_times_are_told() -> None:
    decided = plan(cron(created_ago=60 * 200), [], (), now=NOW + 1)
    assert [reason for _, reason, _ in decided.events] == ["TooManyMissedTimes"]
    assert decided.start is not None
    schedule = parse_schedule("* * * * *")
    year = 365 * 86400
    assert most_recent(schedule, NOW - 10 * year, NOW) == (NOW, True)


def test_policies() -> None:
    ref = {"name": "old", "uid": "u"}
    for policy, starts, replaces in (
        ("Allow", True, []),
        ("Forbid", False, []),
        ("Replace", True, ["old"]),
    ):
        busy = cron(concurrencyPolicy=policy) | {"status": {"active": [ref]}}
        start = plan(busy, [], (), now=NOW + 1).start
        assert (start is not None) == starts
        assert start is None or list(start.replaces) == replaces
    late = cron(schedule="0 0 1 * *", startingDeadlineSeconds=5)
    assert plan(late, [], (), now=NOW + 10).start is None
    assert plan(cron(suspend=True), [], (), now=NOW + 1).start is None
