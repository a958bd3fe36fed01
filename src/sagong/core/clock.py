"""Where time comes from.

Nothing else in the package reads the system's clock. Waiting is done with ``asyncio.sleep`` and
``loop.call_later``, which follow the event loop's own time, so a loop with virtual time
(``sagong.sim``) moves both.
"""

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """A wall clock and a monotonic one, both in seconds."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; comparable only within one process."""
        ...


class SystemClock:
    """The machine's clocks, without a function of ours in between: every request asks them."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class LoopClock:
    """Wall time that advances with the running event loop's time, from a fixed epoch.

    On a loop with virtual time, an hour passes in no time and every run reads the same times.
    """

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch

    def now(self) -> float:
        return self._epoch + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC with whole seconds (``metav1.Time``)."""
    return _format_second(int(seconds))


@lru_cache(maxsize=64)  # pure; all that is written within a second has the same time
def _format_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds (``metav1.MicroTime``)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
