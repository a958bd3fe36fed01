"""The work queue of a controller: keys to look at, each at most once, none by two workers.

``QueueState`` is the whole behaviour as a synchronous state machine (semantics: client-go's
``util/workqueue``); ``WorkQueue`` lends it a clock, a timer and workers that wait.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from sagong.core.clock import Clock
from sagong.ctl.metrics import QueueMetrics
from sagong.ctl.rate import Backoff, TokenBucket

# client-go's DefaultTypedControllerRateLimiter: a key that keeps failing waits longer and longer,
# and all failing keys together are bounded, so that a broken API is not hammered by many keys.
RETRY_FIRST_SECONDS = 0.005
RETRY_LIMIT_SECONDS = 1000.0
RETRIES_PER_SECOND = 10.0
RETRIES_BURST = 100

K = TypeVar("K", bound=Hashable)


class QueueState(Generic[K]):
    """Which keys are ready, in work, or due later. Times are monotonic seconds.

    A key is in the queue at most once. A key that is added while in work becomes ready when that
    work is done. The size is bounded by the number of distinct keys.
    """

    def __init__(self, now: float) -> None:
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()  # must be looked at (again)
        self._working: set[K] = set()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []  # may hold entries that _due has outdated
        self._sequence = 0
        self._backoff = Backoff(
            first_seconds=RETRY_FIRST_SECONDS, limit_seconds=RETRY_LIMIT_SECONDS
        )
        self._bucket = TokenBucket(per_second=RETRIES_PER_SECOND, burst=RETRIES_BURST, now=now)

    @property
    def depth(self) -> int:
        """Keys that are ready now."""
        return len(self._ready)

    @property
    def working(self) -> frozenset[K]:
        return frozenset(self._working)

    def add(self, key: K) -> bool:
        """The key must be looked at. False if that was known."""
        if key in self._dirty:
            return False
        self._dirty.add(key)
        if key not in self._working:
            self._ready.append(key)
        return True

    def add_at(self, key: K, due: float) -> None:
        """Add the key when the time comes; of several times the earliest counts."""
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))

    def retry(self, key: K, now: float) -> float:
        """Add the key after its back-off; how many seconds that is."""
        seconds = max(self._backoff.next_seconds(key), self._bucket.reserve(now))
        self.add_at(key, now + seconds)
        return seconds

    def failures(self, key: K) -> int:
        """How often the key was retried since it was last forgotten."""
        return self._backoff.failures(key)

    def forget(self, key: K) -> None:
        """End the key's back-off."""
        self._backoff.forget(key)

    def promote(self, now: float) -> list[K]:
        """Add the keys that are due; those that were not already known."""
        added = []
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                if self.add(key):
                    added.append(key)
        return added

    def next_due(self) -> float | None:
        """When ``promote`` has something to do next."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self) -> K | None:
        """A ready key, now in work, or None."""
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K) -> bool:
        """Work on a key has ended. True if it is ready again."""
        self._working.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            return True
        return False


class WorkQueue(Generic[K]):
    """A QueueState on the running event loop, measured."""

    def __init__(self, name: str, clock: Clock, metrics: QueueMetrics) -> None:
        self._clock = clock
        self._state: QueueState[K] = QueueState(clock.monotonic())
        self._measures = metrics.of_queue(name, clock)
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = float("inf")

    def add(self, key: K) -> None:
        """Look at the key soon."""
        if self._state.add(key):
            self._added(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Look at the key in so many seconds."""
        if seconds <= 0:
            self.add(key)
            return
        self._state.add_at(key, self._clock.monotonic() + seconds)
        self._arm()

    def retry(self, key: K) -> float:
        """Look at the key after its back-off; how many seconds that is."""
        self._measures.retried()
        seconds = self._state.retry(key, self._clock.monotonic())
        self._arm()
        return seconds

    def forget(self, key: K) -> None:
        self._state.forget(key)

    def failures(self, key: K) -> int:
        return self._state.failures(key)

    async def wait_next(self) -> K:
        """A key, which is the caller's until ``done``."""
        while (key := self._state.take()) is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # The wake-up was another waiter's to have.
                raise
        self._measures.started(key, self._state.depth)
        return key

    def done(self, key: K) -> None:
        """The caller has finished with the key."""
        self._measures.ended(key)
        if self._state.done(key):
            self._wake()
            self._measures.depth(self._state.depth)

    def close(self) -> None:
        """Stop the timer; what is queued is forgotten with the queue."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _added(self, key: K) -> None:
        self._measures.added(key, self._state.depth)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        due = self._state.next_due()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        seconds = max(0.0, due - self._clock.monotonic())
        self._timer_due = due
        self._timer = asyncio.get_running_loop().call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._timer = None
        for key in self._state.promote(self._clock.monotonic()):
            self._added(key)
        self._arm()
