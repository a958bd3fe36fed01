"""An event loop with virtual time: production code unchanged, an hour in a moment, from a seed.

Stock asyncio with two parts replaced. The selector does not wait: it moves the loop's time to the
next timer. The list of ready callbacks hands task wake-ups out in an order drawn from the seed, so
that different seeds try different interleavings and the same seed repeats its own. Everything that
depends on asyncio's internals is in this file.

Nothing on this loop may use threads, subprocesses or sockets: what waits for the world outside
never becomes ready, and is reported as a deadlock.
"""

import asyncio
import random
import selectors
from asyncio import Handle
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Turns of the loop within one instant; far more than any honest burst of work takes.
TURNS_PER_INSTANT_MAX = 1_000_000
# Timers this close count as one instant; far above the rounding of floats at a year of seconds.
RESOLUTION_SECONDS = 1e-6


class Deadlock(Exception):
    """Every task waits, and no timer is left that could wake one."""


class Livelock(Exception):
    """The loop turns and turns and time stands still."""


class OutOfTime(Exception):
    """The virtual time allowed is used up."""


def run_virtual(
    main: Coroutine[Any, Any, T], seed: int | None = 0, *, limit_seconds: float = float("inf")
) -> T:
    """Run to completion in virtual time that starts at 0.

    With seed None wake-ups keep stock asyncio's order. Raises Deadlock, Livelock, OutOfTime.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(seed, limit_seconds)) as runner:
        return runner.run(main)


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's docstring."""

    def __init__(self, seed: int | None = 0, limit_seconds: float = float("inf")) -> None:
        self._virtual_seconds = 0.0
        self._limit_seconds = limit_seconds
        self._turns = 0
        super().__init__(_JumpingSelector(self))
        self._clock_resolution = RESOLUTION_SECONDS
        if seed is not None:
            self._ready = _Shuffled(seed)

    def time(self) -> float:
        return self._virtual_seconds

    def pass_time(self, seconds: float | None) -> None:
        """What the selector does instead of waiting; None: there is nothing to wait for."""
        if seconds is None:
            raise Deadlock(self._describe("every task waits and no timer is set"))
        if seconds > 0:
            self._turns = 0
            self._virtual_seconds += seconds
            if self._virtual_seconds > self._limit_seconds:
                # Once only: the clean-up that follows may still take its time.
                limit, self._limit_seconds = self._limit_seconds, float("inf")
                raise OutOfTime(self._describe(f"not done after {limit} s"))
            return
        self._turns += 1
        if self._turns > TURNS_PER_INSTANT_MAX:
            self._turns = 0
            raise Livelock(self._describe(f"no end of work at {self._virtual_seconds} s"))

    def _describe(self, problem: str) -> str:
        waiting = sorted(_where(task) for task in asyncio.all_tasks(self))
        return "\n  ".join([problem + "; tasks:", *waiting])


def _where(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    place = f"{frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else "not started"
    return f"{task.get_name()} at {place}"


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: lets the loop's time pass instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Signals and call_soon_threadsafe come through the loop's own pipe.
        ready = super().select(0)
        if not ready:
            self._loop.pass_time(timeout)
        return ready


class _Shuffled:
    """The loop's ready list: task wake-ups leave it in a random order, other callbacks in theirs.

    asyncio promises the order of plain callbacks, and its own transports rely on it; about tasks
    it promises nothing.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._plain: deque[Handle] = deque()
        self._wakeups: list[Handle] = []

    def __len__(self) -> int:
        return len(self._plain) + len(self._wakeups)

    def append(self, handle: Handle) -> None:
        callback = handle._callback  # type: ignore[attr-defined]
        if isinstance(getattr(callback, "__self__", None), asyncio.Task):
            self._wakeups.append(handle)
        else:
            self._plain.append(handle)

    def popleft(self) -> Handle:
        drawn = self._random.randrange(len(self))
        if drawn >= len(self._wakeups):
            return self._plain.popleft()
        wakeups = self._wakeups
        wakeups[drawn], wakeups[-1] = wakeups[-1], wakeups[drawn]
        return wakeups.pop()

    def clear(self) -> None:
        self._plain.clear()
        self._wakeups.clear()
