"""What only a durable store can get wrong: reopening, being killed, sweeping, two at a time."""

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_contract import Model, check_history, random_txn

from sagong.store.drivers import sqlite as sqlite_module
from sagong.store.drivers.sqlite import SqliteStore
from sagong.store.drivers.sqlite_log import Row
from sagong.store.errors import Compacted, Unavailable
from sagong.store.interface import Batch, Change, Compare, Delete, Entry, Put

# Writes for ever; says each acknowledged revision with its key, on one line, flushed.
WRITER = """
import asyncio, os, sys
from sagong.store.drivers.sqlite import SqliteStore
from sagong.store.interface import Delete, Put

async def write(store, worker):
    number = 0
    while True:
        key, value = f"/w{worker}/{number % 50}", b"%d" % number
        result = await store.txn([], [Put(key, value), Put(f"/last/{worker}", value)])
        os.write(1, b"%d %d %d\\n" % (result.revision, worker, number))
        number += 1

async def main():
    store = SqliteStore(sys.argv[1])
    async def compact():
        while True:
            await asyncio.sleep(0.02)
            await store.compact(await store.current_revision())
    await asyncio.gather(compact(), *(write(store, worker) for worker in range(8)))

asyncio.run(main())
"""


def kill_amid_writes(path: Path, lines: int) -> list[tuple[int, int, int]]:
    """Run the writer until it has acknowledged so many, then SIGKILL it; what it acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            said = [process.stdout.readline() for _ in range(lines)]
        finally:
            os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
    whole = [line.split() for line in said if line.endswith(b"\n")]
    return [(int(a), int(b), int(c)) for a, b, c in whole]


async def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path: Path) -> None:
    path, revision = tmp_path / "store.db", 1
    for round_ in range(3):
        acknowledged = kill_amid_writes(path, 200 + 130 * round_)
        assert len({a for a, _, _ in acknowledged}) == len(acknowledged)
        assert min(a for a, _, _ in acknowledged) > revision
        store = SqliteStore(path)
        assert await store.verify() == []
        now = await store.current_revision()
        assert now >= max(a for a, _, _ in acknowledged)
        last = dict.fromkeys(range(8), -1)
        for _, worker, number in acknowledged:
            last[worker] = max(last[worker], number)
        for worker, number in last.items():
            entry = await store.get(f"/last/{worker}")
            assert entry is not None
            # At most one more was under way, and both keys of a transaction changed together.
            stored = int(entry.value)
            assert stored in (number, number + 1)
            twin = await store.get(f"/w{worker}/{stored % 50}")
            assert twin is not None
            assert (twin.value, twin.mod_revision) == (entry.value, entry.mod_revision)
        revision = now
        await store.close()


async def test_reopening_keeps_state_history_and_revision(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.txn([], [Put("/a", b"1"), Put("/b", b"1")])
    await store.txn([], [Put("/a", b"2")])
    await store.txn([], [Delete("/b")])
    await store.close()

    store = SqliteStore(tmp_path / "s.db")
    assert await store.current_revision() == 4
    assert await store.get("/a") == Entry("/a", b"2", 2, 3)
    assert [e.key for e in (await store.range("/", revision=3)).entries] == ["/a", "/b"]
    watch = store.watch("/", start_revision=3)
    assert await anext(watch) == Batch(3, [Change("/a", b"2", 2, 3)])
    assert await anext(watch) == Batch(4, [Change("/b", None, 2, 4)])
    assert (await store.txn([Compare("/a", 3)], [Put("/a", b"3")])).revision == 5
    assert (await anext(watch)).revision == 5
    await store.close()


@pytest.mark.parametrize("seed", range(4))
async def test_random_histories_with_reopening_agree_with_the_model(
    tmp_path: Path, seed: int
) -> None:
    rng, model, compacted = random.Random(seed), Model(), 0
    store = SqliteStore(tmp_path / "s.db")
    for step in range(120):
        compares, operations = random_txn(rng, model)
        result = await store.txn(compares, operations)
        assert (result.succeeded, result.revision) == model.txn(compares, operations)
        now = len(model.states) - 1
        if step % 50 == 25:
            compacted = rng.randint(compacted, now)
            await store.compact(compacted)
        if step % 20 == 19:
            await store.close()
            store = SqliteStore(tmp_path / "s.db")
            assert await store.current_revision() == now
            revision = rng.randint(max(compacted, 1), now)
            found = await store.range("", revision=revision)
            assert list(found.entries) == model.select("", "", revision)
    assert await store.verify() == []
    await check_history(store, model, compacted)
    await store.close()


async def test_the_revision_survives_the_compaction_of_its_row(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.txn([], [Put("/a", b"1")])
    await store.txn([], [Delete("/a")])
    await store.compact(3)
    await store.close()

    store = SqliteStore(tmp_path / "s.db")
    assert await store.current_revision() == 3
    with pytest.raises(Compacted):
        await store.range("/", revision=2)
    assert (await store.txn([], [Put("/a", b"1")])).revision == 4
    await store.close()


async def test_sweeping_in_small_steps_leaves_exactly_what_can_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "SWEEP_ROWS", 3)
    store = SqliteStore(tmp_path / "s.db")
    for number in range(40):
        await store.txn([], [Put(f"/{number % 4}", b"%d" % number), Put("/x", b"%d" % number)])
        if number % 7 == 0:
            await store.txn([], [Delete("/1")])
    before = await store.range("/")
    revision = await store.current_revision()

    async def write() -> None:
        for _ in range(20):
            await store.txn([], [Put("/meanwhile", b"w")])

    await asyncio.gather(store.compact(revision), write())
    assert list((await store.range("/", revision=revision)).entries) == list(before.entries)
    await store.compact(await store.current_revision())
    rows = store._read_log._db.execute("SELECT count(*) FROM log").fetchone()[0]
    assert rows == len(before.entries) + 1
    assert await store.verify() == []
    await store.close()


async def test_history_is_read_in_pieces_that_never_cut_a_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "HISTORY_ROWS", 4)
    store = SqliteStore(tmp_path / "s.db")
    for number in range(30):
        await store.txn([], [Put(f"/a/{n}", b"v") for n in range(number % 6 + 1)])
    watch = store.watch("/a/", start_revision=2)
    batches = [await anext(watch) for _ in range(30)]
    assert [b.revision for b in batches] == list(range(2, 32))
    assert [len(b.changes) for b in batches] == [n % 6 + 1 for n in range(30)]
    await store.close()


async def test_writers_that_wait_share_a_commit(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    groups: list[int] = []
    append = store._write_log.append

    def counting(rows: Sequence[Row]) -> None:
        groups.append(len(rows))
        append(rows)

    store._write_log.append = counting  # type: ignore[method-assign]
    results = await asyncio.gather(*(store.txn([], [Put(f"/{n}", b"v")]) for n in range(100)))
    assert sorted(r.revision for r in results) == list(range(2, 102))
    assert sum(groups) == 100
    assert len(groups) <= 3
    # A failed compare in the group harms no other.
    mixed = await asyncio.gather(
        store.txn([Compare("/0", 99)], [Put("/0", b"w")]),
        store.txn([Compare("/new", 0)], [Put("/new", b"1")]),
        store.txn([Compare("/new", 0)], [Put("/new", b"2")]),
    )
    assert [r.succeeded for r in mixed] == [False, True, False]
    await store.close()


async def test_a_cancelled_writer_does_not_disturb_the_others(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    first = asyncio.ensure_future(store.txn([], [Put("/a", b"1")]))
    second = asyncio.ensure_future(store.txn([], [Put("/b", b"1")]))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).succeeded
    await store.close()


async def test_files_are_the_owners_only_and_the_store_is_one_process_s(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.txn([], [Put("/a", b"1")])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*")}  # noqa: ASYNC240
    assert set(modes.values()) == {0o600}, modes
    with pytest.raises(Unavailable, match="in use"):
        SqliteStore(tmp_path / "s.db")
    await store.close()
    store = SqliteStore(tmp_path / "s.db")
    await store.close()


async def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"something else entirely, and long enough to look at" * 50)
    with pytest.raises(Unavailable, match="cannot open"):
        SqliteStore(tmp_path / "s.db")
    with pytest.raises(Unavailable):
        SqliteStore(tmp_path / "no such directory" / "s.db")


async def test_verify_finds_damage(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.txn([], [Put("/a", b"1")])
    await store.txn([], [Put("/a", b"2")])
    assert await store.verify() == []
    store._read_log._db.execute("DELETE FROM log WHERE id >> 16 = 2")
    assert await store.verify() == [f"the change before is missing: row {3 << 16}, revision 3"]
    await store.close()


async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db")
    await store.txn([], [Put("/a", b"1")])
    pages = store._write_log._db.execute("PRAGMA page_count").fetchone()[0]
    store._write_log._db.execute(f"PRAGMA max_page_count = {pages}")
    results = await asyncio.gather(
        store.txn([], [Put("/a", b"2")]),
        store.txn([], [Put("/big", b"x" * 1_000_000)]),
        return_exceptions=True,
    )
    assert all(isinstance(result, Unavailable) for result in results)
    assert await store.get("/a") == Entry("/a", b"1", 2, 2)
    store._write_log._db.execute("PRAGMA max_page_count = 1000000")
    assert (await store.txn([], [Put("/a", b"3")])).revision == 3
    await store.close()
