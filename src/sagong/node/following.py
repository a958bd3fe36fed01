"""Following the runtime: its events as the main source, listing everything now and then beside.

An event only says that something has ended, and says it some milliseconds before the CRI shows it.
So whatever an event names is looked at until the end is seen, however long that takes.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from sagong.core.clock import Clock
from sagong.core.supervision import supervised
from sagong.core.tasks import task_group
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.cri.wakeups import runtime_events
from sagong.node.pods.runtime_view import RuntimeView

log = logging.getLogger(__name__)

RELIST_IDLE_SECONDS = 10.0  # with the runtime's events as the main source
EVENTS_RETRY_SECONDS = 1.0  # a restarted runtime has lost who listened
# An end that an event has announced is looked for at once, and then less and less often.
FIRST_LOOKS_SECONDS = (0.0, 0.02, 0.05, 0.1, 0.3)
LATER_LOOK_SECONDS = 1.0
LOOKS_MAX = 60  # past it only listing will find it: the runtime is in trouble
# Looks after which a part that no pod owns is left to listing: its worker has just made it.
LOOKS_WITHOUT_OWNER_MAX = len(FIRST_LOOKS_SECONDS)


class RuntimeFollower:
    """One an agent; ``wake`` is called with the uid of each pod in which something changed."""

    def __init__(
        self,
        cri: CriClient,
        view: RuntimeView,
        clock: Clock,
        *,
        relist_seconds: float,
        wake: Callable[[str], None],
        is_looked_after: Callable[[str], bool],
    ) -> None:
        """``is_looked_after`` tells of a pod that needs no looks: its worker is at it, or none is.

        ``relist_seconds`` holds while the runtime offers no events.
        """
        self._cri = cri
        self._view = view
        self._clock = clock
        self._relist_seconds = relist_seconds
        self._wake = wake
        self._is_looked_after = is_looked_after
        self._look = asyncio.Event()
        self._has_events = False
        self._listed_at = clock.monotonic()

    @property
    def age_seconds(self) -> float:
        """How long ago everything was listed successfully."""
        return self._clock.monotonic() - self._listed_at

    async def run(self) -> None:
        """Until cancelled."""
        async with task_group() as tasks:
            listing = supervised("container listing", self._list_repeatedly)
            tasks.start(listing, name="container listing")
            await self._follow_repeatedly()

    async def _list_repeatedly(self) -> None:
        while True:
            self._look.clear()
            try:
                changed = await self._view.relist()
            except RuntimeFailure as error:
                log.warning("cannot list containers: %s", error)
                await asyncio.sleep(self._relist_seconds)
                continue
            self._listed_at = self._clock.monotonic()
            for uid in changed:
                self._wake(uid)
            try:
                async with asyncio.timeout(self._listing_delay()):
                    await self._look.wait()
            except TimeoutError:
                continue

    def _listing_delay(self) -> float:
        return RELIST_IDLE_SECONDS if self._has_events else self._relist_seconds

    async def _follow_repeatedly(self) -> None:
        while True:
            try:
                await self._follow()
            except* RuntimeFailure as group:
                log.info("no events from the runtime: %s", group.exceptions[0])
            self._has_events = False
            self._look.set()
            await asyncio.sleep(EVENTS_RETRY_SECONDS)

    async def _follow(self) -> None:
        async with task_group() as tasks, _events(self._cri) as events:
            async for ended in events:
                self._has_events = True
                if ended:
                    tasks.start(self._see_end(ended), name=f"end of {ended}")
                else:
                    self._look.set()

    async def _see_end(self, part_id: str) -> None:
        """Look at a container or sandbox until it is seen to have ended."""
        for count, delay in enumerate(_looks()):
            await asyncio.sleep(delay)
            uid = self._view.owner_of(part_id)
            if uid is None:
                if count < LOOKS_WITHOUT_OWNER_MAX:
                    continue  # it ended before its worker, which has just started it, noted it
                break
            if self._is_looked_after(uid):
                return
            before = self._view.pod(uid)
            ended = await self._view.look_for_end(uid, part_id)
            if self._view.pod(uid) != before or ended:
                self._wake(uid)
            if ended:
                return
        self._look.set()


def _looks() -> Iterator[float]:
    """Delays before each look."""
    yield from FIRST_LOOKS_SECONDS
    yield from itertools.repeat(LATER_LOOK_SECONDS, LOOKS_MAX)


@asynccontextmanager
async def _events(cri: CriClient) -> AsyncIterator[AsyncIterator[str]]:
    events = runtime_events(cri)
    try:
        yield events
    finally:
        await events.aclose()
