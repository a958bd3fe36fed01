"""Publishing recent decisions at the API (``pods/scheduling``), when there is time for it."""

import asyncio
import logging
from collections.abc import Callable

from sagong.api import errors
from sagong.api.scheduling import SUBRESOURCE
from sagong.client.client import Client
from sagong.scheduler.records import Records, object_of

log = logging.getLogger(__name__)

# Decisions about one pod often come in twos (no node, then one): only the last is published.
PAUSE_SECONDS = 0.2
PUBLISHED_AT_ONCE = 20  # while pods wait to be scheduled; they are more urgent


class Publishing:
    """Takes records, the newest first, and hands them to the API."""

    def __init__(self, client: Client, records: Records, is_busy: Callable[[], bool]) -> None:
        self._client = client
        self._records = records
        self._is_busy = is_busy

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._records.filled.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            published = 0
            while record := self._records.take():
                try:
                    await self._client.update("pods", object_of(record), subresource=SUBRESOURCE)
                except errors.ApiError as error:
                    # The pod is gone, or the server is: a record is not worth a second attempt.
                    log.debug("publishing on %s: %s", record.pod.key, error)
                published += 1
                if published >= PUBLISHED_AT_ONCE and self._is_busy():
                    break
