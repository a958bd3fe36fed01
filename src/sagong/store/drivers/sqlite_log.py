"""The SQLite file: a log of changes, synchronous; each connection belongs to one thread at a time.

Each row is one change of one key. Its id holds the revision and the place within the transaction
(``revision << 16 | place``), so that history by revision is the table's own order, and the index on
``key`` (which ends in the id) finds a key's newest change at or before any revision.
"""

import functools
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sagong.store.errors import Compacted
from sagong.store.interface import Batch, Change, Entry, Range

PLACE_BITS = 16
OPERATIONS_MAX = 1 << PLACE_BITS  # of one transaction
# The write-ahead log is copied into the file when it has so many pages (16 MB). Keys are spread
# over the index, so a busy store fills SQLite's default of 1,000 in half a second, and the copy is
# what the slowest writes wait for.
CHECKPOINT_PAGES = 4096
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
SELECT id, key, create_rev, value FROM log
WHERE id >= ? AND id < ? AND +key >= ? AND +key < ?
ORDER BY id LIMIT ?
"""
_HEADS = """
SELECT l.key, l.id, l.create_rev
FROM (SELECT max(id) AS id FROM log GROUP BY key) AS newest CROSS JOIN log AS l ON l.id = newest.id
WHERE l.value IS NOT NULL
"""
# Of one INSERT statement. Past it several make up one transaction.
ROWS_AT_ONCE = 32

# id, key, create_rev, prev_id, value
Row = tuple[int, str, int, int | None, bytes | None]


class Head(NamedTuple):
    """Where a living key is: the row of its newest change, and the revision that created it."""

    id: int
    create_revision: int


@functools.cache  # one a number of rows, of which there are ROWS_AT_ONCE
def _insert_statement(rows: int) -> str:
    values = ", ".join(["(?, ?, ?, ?, ?)"] * rows)
    return f"INSERT INTO log (id, key, create_rev, prev_id, value) VALUES {values}"


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
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
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

    def heads(self) -> dict[str, Head]:
        """Where every living key is. Read once, when the store is opened."""
        return {key: Head(id_, created) for key, id_, created in self._db.execute(_HEADS)}

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows in one durable commit. Raises sqlite3.Error; then none of them is there.

        One statement does it if it can: each statement is a moment in which this thread waits
        for the interpreter, which is at work on requests.
        """
        if len(rows) <= ROWS_AT_ONCE:
            self._insert(rows)  # a statement alone is a transaction
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for start in range(0, len(rows), ROWS_AT_ONCE):
                self._insert(rows[start : start + ROWS_AT_ONCE])
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _insert(self, rows: Sequence[Row]) -> None:
        self._db.execute(_insert_statement(len(rows)), [value for row in rows for value in row])

    def entry(self, key: str, head: Head) -> Entry:
        """The entry of a key that is at ``head``."""
        (value,) = self._db.execute("SELECT value FROM log WHERE id = ?", (head.id,)).fetchone()
        return Entry(key, value, head.create_revision, revision_of(head.id))

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


def _batches(rows: Sequence[tuple[int, str, int, bytes | None]]) -> Iterator[Batch]:
    changes: list[Change] = []
    for id_, key, created, value in rows:
        revision = revision_of(id_)
        if changes and changes[-1].revision != revision:
            yield Batch(changes[-1].revision, changes)
            changes = []
        changes.append(Change(key, value, created, revision))
    if changes:
        yield Batch(changes[-1].revision, changes)
