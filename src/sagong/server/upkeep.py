"""What a server does for its store while it runs: compaction, expired events, lost reservations.

Each is idempotent, so several servers over one store may all do it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from sagong.api.errors import ApiError
from sagong.api.types import Obj
from sagong.core.clock import parse_time
from sagong.core.tasks import task_group
from sagong.server.allocation.service_allocator import ServiceAllocator
from sagong.server.assembly import Core
from sagong.server.cache import Item
from sagong.server.registry.backend import Backend
from sagong.server.registry.writing import Lost, remove
from sagong.store.errors import StoreError
from sagong.store.interface import Store

log = logging.getLogger(__name__)

# Revisions stay readable for at least this long (upstream's --etcd-compaction-interval).
COMPACTION_SECONDS = 300.0
# How long an event lives after its last write (upstream's --event-ttl), and how often we look.
EVENT_SECONDS = 3600.0
EXPIRY_SECONDS = 60.0
# How often service addresses are compared with the services (upstream's repair loop).
REPAIR_SECONDS = 180.0

Step = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def upkeep(core: Core, allocator: ServiceAllocator | None) -> AsyncIterator[None]:
    """Do all of it in the background while the block runs."""
    backend = core.backend
    compaction = Compaction(backend.store)
    async with task_group() as tasks:
        tasks.start(_every(COMPACTION_SECONDS, compaction.step), name="compaction")
        tasks.start(_every(EXPIRY_SECONDS, lambda: expire_events(core)), name="event expiry")
        if allocator is not None:
            await allocator.ensure_default_range()
            tasks.start(_every(REPAIR_SECONDS, allocator.repair), name="repair of addresses")
        yield


async def _every(seconds: float, step: Step) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await step()
        except (ApiError, StoreError) as error:
            log.warning("upkeep failed, to be tried again: %s", error)


class Compaction:
    """Forgets, at each step, what was superseded before the step before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._previous = 0

    async def step(self) -> None:
        current = await self._store.current_revision()
        if self._previous:
            await self._store.compact(self._previous)
        self._previous = current


async def expire_events(core: Core) -> None:
    """Remove the events whose last write is too long ago, past admission, as a lease would."""
    events = core.resources.named("events")
    assert events is not None, "events are built in"
    served = core.kinds.of(events)
    backend: Backend = core.backend
    oldest = backend.clock.now() - EVENT_SECONDS
    for item in backend.cache(served).items()[0]:
        if last_write(item, backend.clock.now()) > oldest:
            continue
        with contextlib.suppress(Lost):  # written or deleted meanwhile: no longer ours to expire
            await remove(backend, served, item)


def last_write(item: Item, now: float) -> float:
    """When an event was last written, in seconds since the epoch, as far as the event tells.

    Times to come are what its writer made up: they count as the beginning of time.
    """
    obj = item.encoded.obj
    times = [parse_time(text) for text in _times_of(obj)]
    return max((time for time in times if time <= now), default=0.0)


def _times_of(event: Obj) -> list[str]:
    metadata = event["metadata"]
    found = [metadata.get("creationTimestamp"), event.get("lastTimestamp")]
    found += [entry.get("time") for entry in metadata.get("managedFields") or ()]
    found.append((event.get("series") or {}).get("lastObservedTime"))
    return [text for text in found if text]
