"""The store in memory: for tests, simulation and throw-away servers.

Keeps every version of every key until compaction, so that reads and watches at old revisions are
answered as a durable store answers them. One event loop only; nothing here ever blocks.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Sequence

from sagong.store.drivers.feed import Feed, select
from sagong.store.errors import Compacted, FutureRevision, Unavailable
from sagong.store.interface import (
    Batch,
    Change,
    Compare,
    Delete,
    Entry,
    Put,
    Range,
    TxnResult,
)

# Sorts after every key that begins with a prefix: no key holds the last code point.
_LAST = "\U0010ffff"


class MemoryStore:
    """A Store without durability. See ``store.interface`` for the contract."""

    def __init__(self) -> None:
        self._revision = 1
        self._compacted = 0
        self._live: dict[str, Entry] = {}
        self._live_keys: list[str] = []  # sorted
        # Versions of a key, oldest first: the revision, and the entry or None if it was deleted.
        self._versions: dict[str, list[tuple[int, Entry | None]]] = {}
        self._all_keys: list[str] = []  # sorted; every key that has a version
        self._log: list[Batch] = []  # of the revisions (_log_start, _revision]
        self._log_start = 1
        self._feed = Feed()
        self._closed = False

    async def get(self, key: str) -> Entry | None:
        self._check_open()
        return self._live.get(key)

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(self._revision)
        if 0 < revision < self._compacted:
            raise Compacted(self._compacted)
        if revision in (0, self._revision):
            return self._range_now(prefix, start, limit)
        return self._range_then(prefix, start, limit, revision)

    def _range_now(self, prefix: str, start: str, limit: int) -> Range:
        low = bisect_left(self._live_keys, max(prefix, start))
        high = bisect_left(self._live_keys, prefix + _LAST)
        count = max(0, high - low)
        end = low + min(count, limit or count)
        entries = [self._live[key] for key in self._live_keys[low:end]]
        return Range(entries, self._revision, len(entries) < count, count)

    def _range_then(self, prefix: str, start: str, limit: int, revision: int) -> Range:
        low = bisect_left(self._all_keys, max(prefix, start))
        high = bisect_left(self._all_keys, prefix + _LAST)
        found = []
        for key in self._all_keys[low:high]:
            entry = self._at(key, revision)
            if entry is not None:
                found.append(entry)
        entries = found[:limit] if limit else found
        return Range(entries, revision, len(entries) < len(found), len(found))

    def _at(self, key: str, revision: int) -> Entry | None:
        for version, entry in reversed(self._versions[key]):
            if version <= revision:
                return entry
        return None

    async def txn(
        self, compares: Sequence[Compare], operations: Sequence[Put | Delete]
    ) -> TxnResult:
        self._check_open()
        if len({operation.key for operation in operations}) != len(operations):
            raise ValueError("a transaction may change a key only once")
        found = [self._live.get(compare.key) for compare in compares]
        for compare, entry in zip(compares, found, strict=True):
            if compare.mod_revision != (entry.mod_revision if entry else 0):
                return TxnResult(False, self._revision, found)
        revision = self._revision + 1
        changes = [c for c in (self._apply(op, revision) for op in operations) if c is not None]
        if not changes:
            return TxnResult(True, self._revision)
        self._revision = revision
        batch = Batch(revision, changes)
        self._log.append(batch)
        self._feed.publish(batch)
        # Watchers have the batch; let them run before the writer goes on.
        await asyncio.sleep(0)
        return TxnResult(True, revision)

    def _apply(self, operation: Put | Delete, revision: int) -> Change | None:
        key = operation.key
        previous = self._live.get(key)
        if isinstance(operation, Delete):
            if previous is None:
                return None
            del self._live[key]
            del self._live_keys[bisect_left(self._live_keys, key)]
            self._versions[key].append((revision, None))
            return Change(key, None, previous.create_revision, revision)
        created = previous.create_revision if previous else revision
        entry = Entry(key, operation.value, created, revision)
        if previous is None:
            insort(self._live_keys, key)
        self._live[key] = entry
        if key not in self._versions:
            self._versions[key] = []
            insort(self._all_keys, key)
        self._versions[key].append((revision, entry))
        return Change(key, operation.value, created, revision)

    async def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[Batch]:
        self._check_open()
        if start_revision <= self._compacted:
            raise Compacted(self._compacted + 1)
        subscription = self._feed.open(prefix, self._revision)
        try:
            # The batch of revision r is at r - _log_start - 1.
            for batch in self._log[max(0, start_revision - self._log_start - 1) :]:
                part = select(batch, prefix)
                if part is not None:
                    yield part
            while True:
                batch = await subscription.wait_next()
                if batch.revision >= start_revision:
                    yield batch
        finally:
            subscription.close()

    async def current_revision(self) -> int:
        """Also makes every watch deliver its progress up to this revision."""
        self._check_open()
        self._feed.progress(self._revision)
        return self._revision

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(self._revision)
        if revision <= self._compacted:
            return
        self._compacted = revision
        del self._log[: max(0, revision - self._log_start)]
        self._log_start = max(self._log_start, revision)
        for key in self._all_keys:
            versions = self._versions[key]
            older = sum(1 for version, _ in versions if version <= revision)
            # What is seen at `revision` stays, unless that is a deletion.
            if older and versions[older - 1][1] is not None:
                older -= 1
            del versions[:older]
            if not versions:
                del self._versions[key]
        self._all_keys = [key for key in self._all_keys if key in self._versions]

    async def close(self) -> None:
        self._closed = True
        self._feed.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")
