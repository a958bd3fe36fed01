"""Turns of computing: the server has one thread, and whoever has used it least goes first.

Seats bound how many requests are under way; most requests here never wait for anything and so
never hold a seat when another comes. What they use up is the thread. While it keeps up, requests
run as they come. Once a round of the loop has computed for longer than ``ROUND_SECONDS``, further
requests wait, and one of them runs per round: the one whose flow has computed least of late.
"""

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

# As long as a quiet client may wait for others' requests; below it fairness is not worth the work.
ROUND_SECONDS = 0.005
# The same while only one flow has computed of late: there is nobody to be fair to yet, and requests
# that run in one round share a commit.
ROUND_ALONE_SECONDS = 0.02
# Below it the end of a round is not looked for (that is another round of the loop): what has been
# computed in it counts as the next one's.
NOTED_SECONDS = 0.001
# What a flow has used counts half after so long.
MEMORY_SECONDS = 1.0


class Turns:
    """One a server; used by its loop only."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._used: dict[str, float] = {}
        self._faded_at = 0.0
        self._round = 0.0
        self._ends_round = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def wait_turn(self, flow_key: str) -> asyncio.Future[None] | None:
        """What to wait for before computing; None to go on at once."""
        if not self._waiting:
            alone = len(self._used) < 2
            if self._round < (ROUND_ALONE_SECONDS if alone else ROUND_SECONDS):
                return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(flow_key, deque()).append(future)
        self._watch_round()
        return future

    def add(self, flow_key: str, seconds: float) -> None:
        """A flow has computed for so long in this round."""
        self._round += seconds
        self._used[flow_key] = self._used.get(flow_key, 0.0) + seconds
        if self._round >= NOTED_SECONDS:
            self._watch_round()

    def _watch_round(self) -> None:
        if not self._ends_round:
            self._ends_round = True
            asyncio.get_running_loop().call_soon(self._end_round)

    def _end_round(self) -> None:
        """Called once everything that was ready in this round has run."""
        self._ends_round = False
        self._round = 0.0
        self._fade()
        while self._waiting:
            flow_key = min(self._waiting, key=lambda key: self._used.get(key, 0.0))
            futures = self._waiting[flow_key]
            future = futures.popleft()
            if not futures:
                del self._waiting[flow_key]
            if not future.done():  # its client may have gone
                future.set_result(None)
                break
        if self._waiting:
            self._watch_round()

    def _fade(self) -> None:
        now = self.monotonic()
        if now - self._faded_at < MEMORY_SECONDS:
            return
        halvings = min((now - self._faded_at) / MEMORY_SECONDS, 64.0)
        self._faded_at = now
        factor: float = 0.5**halvings
        self._used = {k: v * factor for k, v in self._used.items() if v * factor > 1e-6}


@types.coroutine
def timed(inner: Coroutine[Any, Any, T], turns: Turns, flow_key: str) -> Generator[Any, Any, T]:
    """Await a coroutine and count its computing, not its waiting."""
    monotonic = turns.monotonic
    resume: Callable[[Any], Any] = inner.send
    given: Any = None
    while True:
        began = monotonic()
        try:
            awaited = resume(given)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            turns.add(flow_key, monotonic() - began)
        try:
            given = yield awaited
        except GeneratorExit:
            inner.close()
            raise
        except BaseException as error:  # noqa: BLE001 - thrown into the coroutine
            resume, given = inner.throw, error
        else:
            resume = inner.send
