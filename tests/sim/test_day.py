"""A day of a small cluster, and an hour of a larger one; ``sagong sim day`` plays any other."""

import pytest

from sagong.cmd.sim import play_day
from sagong.sim.day import DayConfig

NODES = 4


# A virtual day is about half a minute of work.
@pytest.mark.timeout(900)
def test_a_day() -> None:
    told: list[str] = []
    report = play_day(2026, NODES, DayConfig(), say=told.append)
    assert len(report.done) >= 6, report.done
    assert report.writes > sum(report.done.values())
    assert told[-1].endswith("everything that was asked for is there, and nothing else")
