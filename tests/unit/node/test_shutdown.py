"""A shutdown of the machine: who ends when, and what logind says."""

import pytest

from sagong.api.types import Obj
from sagong.node.shutdown.groups import Period, ShutdownSettings, groups_of
from sagong.node.shutdown.login import prepares

from .situations import pod

CRITICAL = 2_000_000_000


def important(uid: str, priority: int | None, grace: int | None = 30) -> Obj:
    made = pod({"name": "c"}, priority=priority, terminationGracePeriodSeconds=grace)
    return {**made, "metadata": {**made["metadata"], "uid": uid}}


def test_critical_pods_have_the_end_of_the_period() -> None:
    settings = ShutdownSettings(grace_seconds=30, critical_seconds=10)
    assert settings.periods == (Period(0, 20), Period(CRITICAL, 10))
    assert settings.total_seconds == 30
    pods = [important("a", None), important("b", -5, 5), important("c", CRITICAL + 1000, 60)]
    first, last = groups_of(settings.periods, pods)
    assert first.graces == {"a": 20, "b": 5}
    assert last.graces == {"c": 10}


def test_periods_by_priority_in_rising_order_without_those_that_nobody_is_in() -> None:
    given = (Period(10000, 20), Period(0, 60), Period(100000, 10), Period(1000, 120))
    settings = ShutdownSettings(by_priority=given)
    assert [period.priority for period in settings.periods] == [0, 1000, 10000, 100000]
    pods = [important("low", -1, None), important("mid", 9999), important("top", CRITICAL)]
    found = groups_of(settings.periods, pods)
    assert [(group.period.priority, dict(group.graces)) for group in found] == [
        (0, {"low": 60}),
        (1000, {"mid": 30}),
        (100000, {"top": 10}),
    ]


def test_without_periods_there_is_nothing_to_wait_for() -> None:
    assert ShutdownSettings().periods == ()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (ShutdownSettings(30, 10), ""),
        (ShutdownSettings(10, 30), "must be <= shutdownGracePeriod 10s"),
        (ShutdownSettings(10, 0, (Period(0, 1),)), "Cannot specify both"),
    ],
)
def test_settings_are_checked(settings: ShutdownSettings, problem: str) -> None:
    assert problem in settings.problem
    assert bool(problem) == bool(settings.problem)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"member":"PrepareForShutdown","payload":{"type":"b","data":[true]}}\n', True),
        (b'{"member":"PrepareForShutdown","payload":{"type":"b","data":[false]}}\n', False),
        (b'{"member":"PrepareForSleep","payload":{"type":"b","data":[true]}}\n', None),
        (b'{"member":"PrepareForShutdown","payload":{"data":[]}}\n', None),
        (b'{"member":"NameAcquired"}\n', None),
        (b"Monitoring bus message stream.\n", None),
        (b"[]\n", None),
    ],
)
def test_what_a_message_says(line: bytes, found: bool | None) -> None:
    assert prepares(line) is found
