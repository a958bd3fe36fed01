"""Rates as synchronous state machines: the caller says what time it is."""

from collections.abc import Hashable


class TokenBucket:
    """``burst`` tokens, refilled at ``per_second`` (golang.org/x/time/rate's meaning)."""

    def __init__(self, *, per_second: float, burst: int, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._updated = now

    def take_nowait(self, now: float) -> bool:
        """Take a token if there is one."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def reserve(self, now: float) -> float:
        """Take a token that may still have to come; seconds until it does."""
        self._refill(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)

    def _refill(self, now: float) -> None:
        gained = max(0.0, now - self._updated) * self._per_second
        self._tokens = min(float(self._burst), self._tokens + gained)
        self._updated = now


class Backoff:
    """Exponential delays of each item: ``first_seconds`` doubled by each failure, to a limit."""

    def __init__(self, *, first_seconds: float, limit_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._limit_seconds = limit_seconds
        self._failures: dict[Hashable, int] = {}

    def next_seconds(self, item: Hashable) -> float:
        """Count a failure of the item; how long to leave it alone now."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        # 2**64 is past every limit; larger exponents overflow a float.
        return float(min(self._first_seconds * 2.0 ** min(failures, 64), self._limit_seconds))

    def failures(self, item: Hashable) -> int:
        return self._failures.get(item, 0)

    def forget(self, item: Hashable) -> None:
        """The item has succeeded."""
        self._failures.pop(item, None)
