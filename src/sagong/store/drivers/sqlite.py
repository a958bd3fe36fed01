"""The store in one SQLite file: durable, no server to run, one process at a time.

Transactions are decided on the event loop (``sqlite_heads.py``), and made durable by one thread.
Those that wait while it commits are committed together next, with one fsync for all; each keeps
its own revision. Their changes are published on the event loop, in revision order, before any of
their writers hears of success. Reads have a thread and a connection of their own, and see exactly
what has been published.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sagong.store.drivers import sqlite_log
from sagong.store.drivers.feed import Feed
from sagong.store.drivers.sqlite_heads import Group, Heads, Outcome, Txn
from sagong.store.drivers.sqlite_log import OPERATIONS_MAX, Log
from sagong.store.drivers.worker import Worker
from sagong.store.errors import Compacted, FutureRevision, Unavailable
from sagong.store.interface import Batch, Compare, Delete, Entry, Put, Range, TxnResult

T = TypeVar("T")

# Committed together at most: bounds how long the first of them waits.
GROUP_TXNS_MAX = 512
# Writes that may wait; past it they are refused, for they would wait for seconds.
WAITING_TXNS_MAX = 20_000
HISTORY_ROWS = 1000  # read at once for a watch that starts in the past
SWEEP_ROWS = 2000  # deleted at once by compaction; writes go on in between


class SqliteStore:
    """A Store. See ``store.interface`` for the contract. Made and used on one event loop."""

    def __init__(self, path: Path | str) -> None:
        """Open or make the file. Raises Unavailable if it is in use or cannot be read."""
        self._path = Path(path)
        self._lock = _lock(self._path)
        try:
            sqlite_log.create(self._path)
            self._write_log = Log(sqlite_log.connect(self._path))
            self._read_log = Log(sqlite_log.connect(self._path))
            self._revision = self._write_log.revision()
            self._compacted = self._write_log.mark("compacted")
            self._heads = Heads(self._write_log.heads())
        except (sqlite3.Error, OSError, ValueError) as error:
            os.close(self._lock)
            raise Unavailable(f"cannot open {self._path}: {error}") from error
        self._writer = Worker("store-write")
        self._reader = Worker("store-read")
        self._feed = Feed()
        self._waiting: deque[tuple[Txn, asyncio.Future[TxnResult]]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    async def get(self, key: str) -> Entry | None:
        self._check_open()
        revision = self._revision
        return await self._read(lambda: self._read_log.get(key, revision))

    async def range(
        self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0
    ) -> Range:
        self._check_open()
        if revision > self._revision:
            raise FutureRevision(self._revision)
        then = revision or self._revision
        return await self._read(lambda: self._read_log.range(prefix, start, limit, then))

    async def txn(
        self, compares: Sequence[Compare], operations: Sequence[Put | Delete]
    ) -> TxnResult:
        self._check_open()
        if len({operation.key for operation in operations}) != len(operations):
            raise ValueError("a transaction may change a key only once")
        if len(operations) > OPERATIONS_MAX:
            raise ValueError(f"a transaction may change {OPERATIONS_MAX} keys at most")
        if len(self._waiting) >= WAITING_TXNS_MAX:
            raise Unavailable("too many writes are waiting for the disk")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[TxnResult] = loop.create_future()
        self._waiting.append((Txn(compares, operations), future))
        if self._idle.is_set():
            # Not at once: what else this turn of the loop writes joins the group.
            self._idle.clear()
            loop.call_soon(self._commit_next)
        return await future

    def watch(self, prefix: str, *, start_revision: int) -> AsyncIterator[Batch]:
        return self._watch(prefix, start_revision)

    async def _watch(self, prefix: str, next_revision: int) -> AsyncIterator[Batch]:
        self._check_open()
        if next_revision <= self._compacted:
            raise Compacted(self._compacted + 1)
        published = self._revision
        subscription = self._feed.open(prefix, published)
        try:
            while next_revision <= published:
                batches, next_revision = await self._history(prefix, next_revision, published)
                for batch in batches:
                    yield batch
            while True:
                batch = await subscription.wait_next()
                if batch.revision >= next_revision:
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
        if revision > self._compacted:
            self._compacted = revision
            await self._write(lambda: self._write_log.refuse_before(revision))
        while await self._write(lambda: self._write_log.sweep(SWEEP_ROWS)):
            self._check_open()

    async def verify(self) -> list[str]:
        """What is wrong with the file, in words; empty if nothing is. Reads it all."""
        self._check_open()
        return await self._read(self._read_log.verify)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._feed.close()
        await self._idle.wait()
        await self._reader.wait(self._read_log.close)
        await self._writer.wait(self._write_log.close)
        self._reader.stop()
        self._writer.stop()
        os.close(self._lock)

    # Group commit

    def _commit_next(self) -> None:
        """Give the writer all that waits. Called on the loop, never while it is at work."""
        if not self._waiting:
            self._idle.set()
            return
        count = min(len(self._waiting), GROUP_TXNS_MAX)
        waiting = [self._waiting.popleft() for _ in range(count)]
        group = self._heads.decide([txn for txn, _ in waiting], self._revision)
        futures = [future for _, future in waiting]
        self._writer.give(
            lambda: self._commit(group),
            lambda results, failure: self._land(group, futures, results, failure),
        )

    def _commit(self, group: Group) -> Sequence[TxnResult]:
        """On the writer's thread: make the group durable; what its transactions came to."""
        if group.rows:
            self._write_log.append(group.rows)
        return [self._result(outcome) for outcome in group.outcomes]

    def _result(self, outcome: Outcome) -> TxnResult:
        if outcome.lost is None:
            return outcome.result
        entry = self._write_log.entry
        found = [None if head is None else entry(key, head) for key, head in outcome.lost]
        return TxnResult(False, outcome.result.revision, found)

    def _land(
        self,
        group: Group,
        futures: Sequence[asyncio.Future[TxnResult]],
        results: Sequence[TxnResult],
        failure: BaseException | None,
    ) -> None:
        if failure is None:
            self._heads.take(group)
            for outcome in group.outcomes:
                if outcome.batch is not None:
                    self._revision = outcome.batch.revision
                    self._feed.publish(outcome.batch)
            for future, result in zip(futures, results, strict=True):
                if not future.done():  # its writer may have been cancelled
                    future.set_result(result)
        else:
            for future in futures:
                if not future.done():
                    future.set_exception(_unavailable(failure))
        self._commit_next()

    # Threads

    async def _history(self, prefix: str, start: int, end: int) -> tuple[list[Batch], int]:
        self._check_open()
        return await self._read(lambda: self._read_log.history(prefix, start, end, HISTORY_ROWS))

    async def _read(self, work: Callable[[], T]) -> T:
        return await self._in(self._reader, work)

    async def _write(self, work: Callable[[], T]) -> T:
        return await self._in(self._writer, work)

    async def _in(self, worker: Worker, work: Callable[[], T]) -> T:
        try:
            return await worker.wait(work)
        except sqlite3.Error as error:
            raise _unavailable(error) from error

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")


def _unavailable(failure: BaseException) -> BaseException:
    if not isinstance(failure, sqlite3.Error):
        return failure
    translated = Unavailable(f"SQLite: {failure}")
    translated.__cause__ = failure
    return translated


def _lock(path: Path) -> int:
    """Hold the store's lock file, so that two processes never write one store."""
    lock_path = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"cannot open {lock_path}: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Unavailable(f"{path} is in use by another process") from error
    return descriptor
