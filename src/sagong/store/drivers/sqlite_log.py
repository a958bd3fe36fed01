"""The SQLite file: a log of changes, synchronous; each connection belongs to one thread at a time.

Each row is one change of one key. Its id holds the revision and the place within the transaction
(``revision << 16 | place``), so that history by revision is the table's own order, and the index on
``key`` (which ends in the id) finds a key's newest change at or before any revision.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagong.store.errors import Compacted
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

PLACE_BITS = 16
OPERATIONS_MAX = 1 << PLACE_BITS  # of one transaction
FORMAT = 1  # of the file; another one is refused

# Sorts after every key that begins with a prefix: no key holds the last code point.
_LAST = "\U0010ffff"

_SCHEMA = """
CREATE TABLE log (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    create_rev INTEGER NOT NULL,
    prev_id INTEGER,            -- the change before, unless that was a deletion or there is none
    value BLOB                  -- NULL: the key was deleted
) STRICT;
CREATE INDEX log_by_key ON log (key);
CREATE TABLE marks (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT;
-- Reads below `compacted` are refused; what they needed is deleted up to `swept`.
INSERT INTO marks VALUES ('compacted', 0), ('swept', 0);
"""

_NEWEST = "SELECT id, create_rev, value FROM log WHERE key = ? AND id < ? ORDER BY id DESC LIMIT 1"
# The index yields the groups in key order, and a cross join keeps that order: a limit stops early.
_RANGE = """
SELECT l.id, l.key, l.create_rev, l.value
FROM (SELECT max(id) AS id FROM log WHERE key >= ? AND key < ? AND id < ? GROUP BY key) AS newest
CROSS JOIN log AS l ON l.id = newest.id
WHERE l.value IS NOT NULL
LIMIT ?
"""
_COUNT = """
SELECT count(*)
FROM (SELECT max(id) AS id FROM log WHERE key >= ? AND key < ? AND id < ? GROUP BY key) AS newest
JOIN log AS l ON l.id = newest.id
WHERE l.value IS NOT NULL
"""
# "+": walk the table in id order, not the index of keys.
_HISTORY = """
SELECT l.id, l.key, l.create_rev, l.value, p.id, p.create_rev, p.value
FROM log AS l LEFT JOIN log AS p ON p.id = l.prev_id
WHERE l.id >= ? AND l.id < ? AND +l.key >= ? AND +l.key < ?
ORDER BY l.id LIMIT ?
"""
_INSERT = "INSERT INTO log (id, key, create_rev, prev_id, value) VALUES (?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Txn:
    """One transaction as it was asked for."""

    compares: Sequence[Compare]
    operations: Sequence[Put | Delete]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction; no batch if nothing changed."""

    result: TxnResult
    batch: Batch | None


def revision_of(id_: int) -> int:
    return id_ >> PLACE_BITS


def first_id(revision: int) -> int:
    return revision << PLACE_BITS


def create(path: Path) -> None:
    """Make the file, readable to its owner only, if there is none. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    connection = connect(path)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            connection.executescript(f"BEGIN;{_SCHEMA};PRAGMA user_version = {FORMAT};COMMIT;")
        elif found != FORMAT:
            raise ValueError(f"{path} has format {found}; this program reads format {FORMAT}")
    finally:
        connection.close()
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # the file's name must survive a power cut as its content does
    finally:
        os.close(directory)


def connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits are durable when they return."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


class Log:
    """Reads and writes over one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def close(self) -> None:
        self._db.close()

    def mark(self, name: str) -> int:
        query = "SELECT revision FROM marks WHERE name = ?"
        return int(self._db.execute(query, (name,)).fetchone()[0])

    def revision(self) -> int:
        """The newest revision. Compaction may have deleted its row, but is at most there."""
        newest = self._db.execute("SELECT max(id) FROM log").fetchone()[0]
        return max(1, revision_of(newest or 0), self.mark("compacted"))

    # Reading

    def get(self, key: str, revision: int) -> Entry | None:
        """The key's entry as of a revision."""
        row = self._db.execute(_NEWEST, (key, first_id(revision + 1))).fetchone()
        if row is None or row[2] is None:
            return None
        return Entry(key, row[2], row[1], revision_of(row[0]))

    def range(self, prefix: str, start: str, limit: int, revision: int) -> Range:
        """See ``Store.range``. Raises Compacted."""
        self._db.execute("BEGIN")
        try:
            if revision < self.mark("compacted"):
                raise Compacted(self.mark("compacted"))
            bounds = (max(prefix, start), prefix + _LAST, first_id(revision + 1))
            rows = self._db.execute(_RANGE, (*bounds, limit + 1 if limit else -1)).fetchall()
            more = 0 < limit < len(rows)
            count = self._db.execute(_COUNT, bounds).fetchone()[0] if more else len(rows)
        finally:
            self._db.execute("COMMIT")
        entries = [Entry(r[1], r[3], r[2], revision_of(r[0])) for r in rows[: limit or None]]
        return Range(entries, revision, more, count)

    def history(self, prefix: str, start: int, end: int, rows_max: int) -> tuple[list[Batch], int]:
        """Batches of revisions from start on, up to and with end, and where to go on from.

        About ``rows_max`` rows are read; never part of a revision. Raises Compacted.
        """
        self._db.execute("BEGIN")
        try:
            compacted = self.mark("compacted")
            if start <= compacted:
                raise Compacted(compacted + 1)
            bounds = (first_id(start), first_id(end + 1), prefix, prefix + _LAST)
            rows = self._db.execute(_HISTORY, (*bounds, rows_max)).fetchall()
            if len(rows) == rows_max:
                # The last revision may be cut: read it whole.
                end = revision_of(rows[-1][0])
                rows = [row for row in rows if revision_of(row[0]) < end]
                last = (first_id(end), first_id(end + 1), prefix, prefix + _LAST, -1)
                rows += self._db.execute(_HISTORY, last).fetchall()
        finally:
            self._db.execute("COMMIT")
        return list(_batches(rows)), end + 1

    # Writing

    def commit(self, txns: Sequence[Txn], revision: int) -> list[Outcome]:
        """Do transactions in order, all in one durable commit; ``revision`` is the newest so far.

        Raises sqlite3.Error; then none of them has happened.
        """
        outcomes = []
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for txn in txns:
                outcomes.append(self._apply(txn, revision))
                revision = outcomes[-1].result.revision
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return outcomes

    def _apply(self, txn: Txn, revision: int) -> Outcome:
        found = [self.get(compare.key, revision) for compare in txn.compares]
        for compare, entry in zip(txn.compares, found, strict=True):
            if compare.mod_revision != (entry.mod_revision if entry else 0):
                return Outcome(TxnResult(False, revision, found), None)
        changes: list[Change] = []
        for operation in txn.operations:
            change = self._change(operation, revision + 1, len(changes))
            if change is not None:
                changes.append(change)
        if not changes:
            return Outcome(TxnResult(True, revision), None)
        return Outcome(TxnResult(True, revision + 1), Batch(revision + 1, changes))

    def _change(self, operation: Put | Delete, revision: int, place: int) -> Change | None:
        key = operation.key
        row = self._db.execute(_NEWEST, (key, first_id(revision))).fetchone()
        previous, prev_id = None, None
        if row is not None and row[2] is not None:
            prev_id = row[0]
            previous = Entry(key, row[2], row[1], revision_of(prev_id))
        if isinstance(operation, Delete) and previous is None:
            return None
        value = operation.value if isinstance(operation, Put) else None
        created = previous.create_revision if previous else revision
        id_ = first_id(revision) | place
        self._db.execute(_INSERT, (id_, key, created, prev_id, value))
        return Change(key, value, previous, created, revision)

    # Compaction

    def refuse_before(self, revision: int) -> None:
        """Compact: from now on, reads below the revision are refused."""
        update = "UPDATE marks SET revision = max(revision, ?) WHERE name = 'compacted'"
        self._db.execute(update, (revision,))

    def sweep(self, rows_max: int) -> bool:
        """Delete about so many rows' worth of what compaction has made unreachable.

        What a change up to ``compacted`` superseded goes, and so does a deletion itself. True if
        there is more to do. A crash between two sweeps loses nothing and repeats nothing.
        """
        swept, compacted = self.mark("swept"), self.mark("compacted")
        low, high = first_id(swept + 1), first_id(compacted + 1)
        query = "SELECT id FROM log WHERE id >= ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?"
        cut = self._db.execute(query, (low, high, rows_max)).fetchone()
        done = compacted
        if cut is not None:
            done = max(swept + 1, revision_of(cut[0]) - 1)
            high = first_id(done + 1)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            superseded = "SELECT prev_id FROM log WHERE id >= ? AND id < ? AND prev_id NOT NULL"
            self._db.execute(f"DELETE FROM log WHERE id IN ({superseded})", (low, high))
            self._db.execute(
                "DELETE FROM log WHERE id >= ? AND id < ? AND value IS NULL", (low, high)
            )
            self._db.execute("UPDATE marks SET revision = ? WHERE name = 'swept'", (done,))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return done < compacted

    # Checking

    def verify(self) -> list[str]:
        """What is wrong with the file, in words; empty if nothing is."""
        problems = [
            str(row[0]) for row in self._db.execute("PRAGMA integrity_check") if row[0] != "ok"
        ]
        swept, compacted = self.mark("swept"), self.mark("compacted")
        if swept > compacted:
            problems.append(f"swept to {swept}, but compacted to {compacted} only")
        for text, query, parameters in _CHECKS:
            bound = {"kept": first_id(compacted + 1)}
            rows = self._db.execute(query, {name: bound[name] for name in parameters})
            problems += [f"{text}: row {row[0]}, revision {revision_of(row[0])}" for row in rows]
        return problems


_CHECKS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "created after it was changed",
        f"SELECT id FROM log WHERE create_rev > id >> {PLACE_BITS}",
        (),
    ),
    (
        "a deletion of nothing",
        "SELECT id FROM log WHERE value IS NULL AND prev_id IS NULL",
        (),
    ),
    (
        "the change before is missing",
        "SELECT l.id FROM log AS l LEFT JOIN log AS p ON p.id = l.prev_id "
        "WHERE l.id >= :kept AND l.prev_id NOT NULL AND (p.id IS NULL OR p.value IS NULL)",
        ("kept",),
    ),
    (
        "the change before is another key's, or newer",
        "SELECT l.id FROM log AS l JOIN log AS p ON p.id = l.prev_id "
        "WHERE p.key != l.key OR p.id >= l.id OR p.create_rev != l.create_rev",
        (),
    ),
)


def _batches(
    rows: Sequence[tuple[int, str, int, bytes | None, int, int, bytes]],
) -> Iterator[Batch]:
    changes: list[Change] = []
    for id_, key, created, value, prev_id, prev_created, prev_value in rows:
        revision = revision_of(id_)
        if changes and changes[-1].revision != revision:
            yield Batch(changes[-1].revision, changes)
            changes = []
        previous = None
        if prev_id is not None:
            previous = Entry(key, prev_value, prev_created, revision_of(prev_id))
        changes.append(Change(key, value, previous, created, revision))
    if changes:
        yield Batch(changes[-1].revision, changes)
