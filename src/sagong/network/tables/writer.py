"""Keep one table of the kernel in step with its Ruleset."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from sagong.core.clock import Clock
from sagong.network.tables.family import IPV4, Family
from sagong.network.tables.fragment import Fragment
from sagong.network.tables.nft import Nft, NftError
from sagong.network.tables.ruleset import STALE_SECONDS, Ruleset, Transaction, removal

log = logging.getLogger(__name__)

COALESCE_SECONDS = 0.025  # changes that come together share a transaction
RETRY_SECONDS = 1.0  # after a refused transaction; the next one is a full one
FULL_SYNC_SECONDS = 3600.0  # repairs what someone else may have done to our table


@dataclass(frozen=True, slots=True)
class Health:
    """For the agent's health endpoint. Times are seconds since the epoch, 0 for never."""

    last_sync: float
    last_error: str  # "" if the last transaction was taken
    waiting_since: float  # since when a change waits to be written; 0: none does


def worst(healths: Iterable[Health]) -> Health:
    """Of several tables as of one: the oldest sync, the first error, the longest wait."""
    each = tuple(healths)
    return Health(
        min(health.last_sync for health in each),
        next((health.last_error for health in each if health.last_error), ""),
        min((h.waiting_since for h in each if h.waiting_since), default=0.0),
    )


class TableWriter:
    """One writer a table; ``ruleset`` is what the table should hold."""

    def __init__(
        self, table: str, frame: Fragment, *, nft: Nft, clock: Clock, family: Family = IPV4
    ) -> None:
        self.ruleset = Ruleset(table, frame, family)
        self._removal = removal(table, family)
        self._nft = nft
        self._clock = clock
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()  # one transaction at a time
        self._last_sync = 0.0
        self._last_full = 0.0
        self._last_error = ""
        self._waiting_since = 0.0

    @property
    def health(self) -> Health:
        return Health(self._last_sync, self._last_error, self._waiting_since)

    def wake(self) -> None:
        """Something changed that the ruleset will tell of."""
        if not self._waiting_since:
            self._waiting_since = self._clock.now()
        self._wake.set()

    async def wait(self) -> None:
        """Until something changed, a deletion or the full sync is due; then a little for more."""
        await self._wait_due()
        await asyncio.sleep(COALESCE_SECONDS)
        self._wake.clear()
        if self._clock.monotonic() - self._last_full > FULL_SYNC_SECONDS:
            self.ruleset.resync()

    async def write(self) -> bool:
        """Bring the kernel up to date now. False if nft refused; then the next try is full."""
        async with self._lock:
            now = self._clock.monotonic()
            waiting_since = self._waiting_since
            self._waiting_since = 0.0
            transaction = self.ruleset.plan(now)
            if transaction is None or await self._apply(transaction, now):
                return True
            self._waiting_since = waiting_since
            return False

    async def remove(self) -> None:
        """Take the table away. Raises NftError."""
        async with self._lock:
            await self._nft.apply(self._removal)
            self.ruleset.resync()

    async def _wait_due(self) -> None:
        now = self._clock.monotonic()
        due = self._last_full + FULL_SYNC_SECONDS - now
        if self.ruleset.next_deletion is not None:
            due = min(due, self.ruleset.next_deletion + STALE_SECONDS - now)
        if self._last_error:
            await asyncio.sleep(RETRY_SECONDS)
            return
        try:
            async with asyncio.timeout(max(0.0, due)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _apply(self, transaction: Transaction, now: float) -> bool:
        try:
            await self._nft.apply(transaction.text)
        except NftError as error:
            self.ruleset.failed()
            self._last_error = str(error)
            log.warning("nft refused a transaction; the whole table follows: %s", error)
            return False
        except (asyncio.CancelledError, Exception):
            # Whether the kernel took it is unknown.
            self.ruleset.failed()
            raise
        self.ruleset.done(transaction, now)
        self._last_error = ""
        self._last_sync = self._clock.now()
        if transaction.full:
            self._last_full = now
        return True
