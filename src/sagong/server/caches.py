"""All watch caches, fed by one watch of the whole registry; the server's Lister.

A watch that breaks (compaction, overflow, a store away) is begun again from a new listing: watchers
of a cache that could not follow are ended, and their clients relist, as with any 410.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator

from sagong.api.types import Encoded, Obj, Resource
from sagong.core.tasks import Tasks
from sagong.server.cache import Item, ResourceCache
from sagong.server.keys import REGISTRY, path_of, prefix_of, scope_of, split_key
from sagong.server.pages import Bodies
from sagong.server.sharing import SMALL_BYTES_MAX, SMALL_SETTLE_SECONDS, Settling, Sharing
from sagong.store.errors import StoreError
from sagong.store.interface import Batch, Store

log = logging.getLogger(__name__)

RESTART_SECONDS = 0.5  # between attempts to follow a store that fails


class Caches:
    """The caches of every storage resource, by prefix and by version-less name."""

    def __init__(self, store: Store) -> None:
        self.revision = 0  # every change up to this one has been applied
        self._store = store
        self._by_prefix: dict[str, ResourceCache] = {}
        self._by_name: dict[str, ResourceCache] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        sharing = Sharing()
        self._settling = Settling(sharing)
        self._settling_small = Settling(sharing, seconds=SMALL_SETTLE_SECONDS)
        # What is being stored, by the identity of its bytes: its decoded form, for the cache.
        self._expected: dict[int, Obj] = {}
        self._bodies = Bodies()

    async def start(self, tasks: Tasks) -> None:
        """Load everything, then follow in the background."""
        await self.load()
        self.follow(tasks)

    def follow(self, tasks: Tasks) -> None:
        """Keep what was loaded up to date in the background."""
        tasks.start(self._run(), name="watch caches")
        tasks.start(self._settling.run(), name="sharing of cached objects")
        tasks.start(self._settling_small.run(), name="sharing of small cached objects")

    def add(self, resource: Resource) -> ResourceCache:
        """The cache of a storage resource, made when first asked for."""
        prefix = prefix_of(resource)
        cache = self._by_prefix.get(prefix)
        if cache is None:
            cache = self._by_prefix[prefix] = ResourceCache(resource, self._bodies)
            cache.floor = self.revision
        self._by_name[resource.name] = cache
        return cache

    def alias(self, name: str, cache: ResourceCache) -> None:
        """Let a resource that is stored as another one (events.k8s.io) be found by name too."""
        self._by_name[name] = cache

    def of(self, resource: Resource) -> ResourceCache:
        """The cache of a resource. Raises KeyError for what is not stored."""
        return self._by_name[resource.name]

    def named(self, name: str) -> ResourceCache | None:
        return self._by_name.get(name)

    def all(self) -> Iterable[ResourceCache]:
        return self._by_prefix.values()

    async def wait_current(self) -> None:
        """Until every change acknowledged so far is in the caches."""
        await self.wait_revision(await self._store.current_revision())

    async def wait_revision(self, revision: int, *, timeout_seconds: float = 0) -> None:
        """Until the caches have reached a revision. Raises TimeoutError if a time is given."""
        if revision <= self.revision:
            return None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((revision, future))
        if not timeout_seconds:
            return await future
        # Not asyncio.timeout: who asks may be in no task (see Tasks.start_now).
        timer = loop.call_later(timeout_seconds, _give_up, future)
        try:
            await future
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def expecting(self, stored: bytes, obj: Obj | None) -> Iterator[None]:
        """While the block runs, take these very bytes over with this decoded form."""
        if obj is not None:
            self._expected[id(stored)] = obj
        try:
            yield
        finally:
            self._expected.pop(id(stored), None)

    # Lister

    def get(self, resource: str, namespace: str, name: str) -> Encoded | None:
        cache = self._by_name.get(resource)
        item = cache.get(path_of(namespace, name)) if cache is not None else None
        return item.encoded if item else None

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Encoded]:
        cache = self._by_name.get(resource)
        if cache is None:
            return ()
        return cache.page(scope_of(namespace)).encoded

    def version(self, resource: str) -> int:
        cache = self._by_name.get(resource)
        return cache.version if cache is not None else 0

    # Following the store

    async def load(self) -> None:
        """Take everything over from a listing of the store."""
        listing = await self._store.range(REGISTRY)
        found: dict[str, list[Item]] = {prefix: [] for prefix in self._by_prefix}
        for entry in listing.entries:
            split = split_key(entry.key, self._by_prefix)
            if split is not None:
                found[split[0]].append(Item(split[1], entry.value, entry.mod_revision))
        for prefix, items in found.items():
            cache = self._by_prefix[prefix]
            cache.load(items, listing.revision)
            for item in items:
                self._settle(cache, item.path, item.revision, len(item.encoded.data))
        self._reached(listing.revision)

    async def _run(self) -> None:
        while True:
            try:
                async for batch in self._store.watch(REGISTRY, start_revision=self.revision + 1):
                    self._apply(batch)
            except StoreError as error:
                log.warning("following the store failed, starting again: %s", error)
                await asyncio.sleep(RESTART_SECONDS)
                await self._restart()

    def end_watches(self) -> None:
        """End every watch; clients begin again from what they saw."""
        for cache in self._by_prefix.values():
            for watcher in cache.all_watchers():
                watcher.on_lost()

    async def _restart(self) -> None:
        """Catch up by listing; end the watchers, which have missed events."""
        try:
            self.end_watches()
            await self.load()
        except StoreError as error:
            log.warning("listing the store failed: %s", error)

    def _apply(self, batch: Batch) -> None:
        for change in batch.changes:
            split = split_key(change.key, self._by_prefix)
            if split is not None:
                cache = self._by_prefix[split[0]]
                known = self._expected.get(id(change.value))
                cache.apply(split[1], change.value, change.revision, known)
                if change.value is not None:
                    self._settle(cache, split[1], change.revision, len(change.value))
        self._reached(batch.revision)

    def _settle(self, cache: ResourceCache, path: str, revision: int, size: int) -> None:
        settling = self._settling if size >= SMALL_BYTES_MAX else self._settling_small
        settling.add(cache, path, revision)

    def _reached(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        if not self._waiting:
            return
        still = []
        for wanted, future in self._waiting:
            if wanted > self.revision:
                still.append((wanted, future))
            elif not future.done():
                future.set_result(None)
        self._waiting = still


def _give_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
