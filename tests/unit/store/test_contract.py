"""The store's contract, over every driver. A driver that is not here may not exist."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from sagong.store.drivers.memory import MemoryStore
from sagong.store.drivers.sqlite import SqliteStore
from sagong.store.errors import Compacted, FutureRevision, Unavailable, WatchOverflow
from sagong.store.interface import Batch, Change, Compare, Delete, Entry, Put, Store

Open = Callable[[Path], Awaitable[Store]]


async def open_memory(path: Path) -> Store:
    return MemoryStore()


async def open_sqlite(path: Path) -> Store:
    return SqliteStore(path)


DRIVERS: dict[str, Open] = {"memory": open_memory, "sqlite": open_sqlite}


@pytest.fixture(params=DRIVERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await DRIVERS[request.param](tmp_path / "store.db")
    yield store
    await store.close()


async def put(store: Store, key: str, value: bytes = b"v") -> int:
    result = await store.txn([], [Put(key, value)])
    assert result.succeeded
    return result.revision


def watching(store: Store, prefix: str, start_revision: int) -> Any:
    return aclosing(store.watch(prefix, start_revision=start_revision))


async def take(watch: AsyncIterator[Batch], count: int) -> list[Batch]:
    return [await anext(watch) for _ in range(count)]


async def test_an_empty_store_is_at_revision_one(store: Store) -> None:
    assert await store.current_revision() == 1
    assert await store.get("/a") is None
    empty = await store.range("/")
    assert (list(empty.entries), empty.revision, empty.more, empty.count) == ([], 1, False, 0)


async def test_put_get_delete(store: Store) -> None:
    created = await put(store, "/a", b"1")
    changed = await put(store, "/a", b"2")
    assert (created, changed) == (2, 3)
    assert await store.get("/a") == Entry("/a", b"2", 2, 3)

    deleted = await store.txn([], [Delete("/a")])
    assert deleted.revision == 4
    assert await store.get("/a") is None

    await put(store, "/a", b"3")
    assert await store.get("/a") == Entry("/a", b"3", 5, 5)


async def test_deleting_an_absent_key_changes_nothing(store: Store) -> None:
    result = await store.txn([], [Delete("/none")])
    assert (result.succeeded, result.revision) == (True, 1)
    assert await store.current_revision() == 1


async def test_compares(store: Store) -> None:
    assert (await store.txn([Compare("/a", 0)], [Put("/a", b"1")])).succeeded

    refused = await store.txn([Compare("/a", 0), Compare("/b", 0)], [Put("/a", b"2")])
    assert not refused.succeeded
    assert refused.revision == 2
    assert list(refused.found) == [Entry("/a", b"1", 2, 2), None]

    assert not (await store.txn([Compare("/a", 99)], [Put("/a", b"2")])).succeeded
    assert not (await store.txn([Compare("/b", 2)], [Put("/b", b"2")])).succeeded
    assert (await store.txn([Compare("/a", 2)], [Put("/a", b"2")])).revision == 3
    # A compare of one key may guard the change of another.
    assert (await store.txn([Compare("/a", 3)], [Put("/b", b"2")])).revision == 4


async def test_a_transaction_is_one_revision(store: Store) -> None:
    await put(store, "/b")
    result = await store.txn([], [Put("/a", b"1"), Delete("/b"), Put("/c", b"2")])
    assert result.revision == 3
    found = (await store.range("/")).entries
    assert [(e.key, e.mod_revision) for e in found] == [("/a", 3), ("/c", 3)]
    async with watching(store, "/", 3) as watch:
        batch = await anext(watch)
    assert {(c.key, c.value) for c in batch.changes} == {("/a", b"1"), ("/b", None), ("/c", b"2")}


async def test_a_key_changes_once_in_a_transaction(store: Store) -> None:
    with pytest.raises(ValueError, match="once"):
        await store.txn([], [Put("/a", b"1"), Delete("/a")])
    assert await store.current_revision() == 1


async def test_range(store: Store) -> None:
    for key in ("/p/c", "/p/a", "/p/b", "/pa", "/q/a", "/p/é", "/o"):
        await put(store, key)
    keys = ["/p/a", "/p/b", "/p/c", "/p/é"]

    def of(found: Any) -> tuple[list[str], bool, int]:
        return [e.key for e in found.entries], found.more, found.count

    assert of(await store.range("/p/")) == (keys, False, 4)
    assert of(await store.range("/p/", limit=3)) == (keys[:3], True, 4)
    assert of(await store.range("/p/", limit=4)) == (keys, False, 4)
    assert of(await store.range("/p/", start="/p/b")) == (keys[1:], False, 3)
    assert of(await store.range("/p/", start="/p/a\0", limit=1)) == (keys[1:2], True, 3)
    assert of(await store.range("/p/", start="/a", limit=1)) == (keys[:1], True, 4)
    assert of(await store.range("/p/", start="/z")) == ([], False, 0)
    assert of(await store.range(""))[2] == 7


async def test_a_prefix_is_text_and_not_a_pattern(store: Store) -> None:
    for key in ("/a_b/1", "/axb/1", "/a%/1", "/ab/1", "/A_b/1", "/a*/1", "/a[b]/1"):
        await put(store, key)
    for prefix in ("/a_", "/a%", "/a*", "/a["):
        assert (await store.range(prefix)).count == 1
    assert (await store.range("/a")).count == 6


async def test_range_at_an_old_revision(store: Store) -> None:
    await put(store, "/a", b"1")
    await put(store, "/b", b"1")
    await put(store, "/a", b"2")
    await store.txn([], [Delete("/b")])
    then = await store.range("/", revision=3)
    assert [(e.key, e.value) for e in then.entries] == [("/a", b"1"), ("/b", b"1")]
    assert (then.revision, then.count) == (3, 2)
    page = await store.range("/", revision=4, limit=1)
    assert [e.value for e in page.entries] == [b"2"]
    assert (page.more, page.count) == (True, 2)
    with pytest.raises(FutureRevision):
        await store.range("/", revision=6)


async def test_compaction(store: Store) -> None:
    await put(store, "/a", b"1")
    await put(store, "/a", b"2")
    await put(store, "/b", b"1")
    await store.txn([], [Delete("/b")])
    await put(store, "/c", b"1")
    await store.compact(4)
    await store.compact(4)
    await store.compact(2)

    with pytest.raises(Compacted) as caught:
        await store.range("/", revision=3)
    assert caught.value.oldest == 4
    kept = await store.range("/", revision=4)
    assert [(e.key, e.value) for e in kept.entries] == [("/a", b"2"), ("/b", b"1")]
    with pytest.raises(Compacted):
        await anext(store.watch("/", start_revision=4))
    async with watching(store, "/", 5) as watch:
        deletion, creation = await take(watch, 2)
    assert deletion.changes == [Change("/b", None, 4, 5)]
    assert creation.changes == [Change("/c", b"1", 6, 6)]
    with pytest.raises(FutureRevision):
        await store.compact(7)

    await store.compact(6)
    assert [e.key for e in (await store.range("/", revision=6)).entries] == ["/a", "/c"]
    assert await store.get("/a") == Entry("/a", b"2", 2, 3)


async def test_watch_history_then_live_without_gap(store: Store) -> None:
    await put(store, "/w/a", b"1")
    await put(store, "/other", b"1")
    await put(store, "/w/a", b"2")
    async with watching(store, "/w/", 2) as watch:
        first = await anext(watch)
        assert first == Batch(2, [Change("/w/a", b"1", 2, 2)])
        await store.txn([], [Delete("/w/a")])
        await put(store, "/w/b", b"3")
        rest = await take(watch, 3)
    assert rest == [
        Batch(4, [Change("/w/a", b"2", 2, 4)]),
        Batch(5, [Change("/w/a", None, 2, 5)]),
        Batch(6, [Change("/w/b", b"3", 6, 6)]),
    ]


async def test_watch_sees_only_its_prefix(store: Store) -> None:
    async with watching(store, "/w/", 2) as watch:
        await store.txn([], [Put("/w/a", b"1"), Put("/x/a", b"1")])
        await put(store, "/wa")
        await put(store, "/w/b")
        batches = await take(watch, 2)
    assert [[c.key for c in b.changes] for b in batches] == [["/w/a"], ["/w/b"]]


async def test_watch_from_a_future_revision(store: Store) -> None:
    async with watching(store, "/", 4) as watch:
        ahead = asyncio.ensure_future(anext(watch))
        for key in ("/a", "/b", "/c"):
            await put(store, key)
        assert (await ahead).revision == 4


async def test_progress_reaches_quiet_watches(store: Store) -> None:
    async with watching(store, "/quiet/", 2) as watch:
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await put(store, "/noise")
        await put(store, "/noise")
        assert await store.current_revision() == 3
        batch = await waiting
        assert (batch.revision, list(batch.changes)) == (3, [])
        await put(store, "/quiet/a")
        assert (await anext(watch)).revision == 4


async def test_an_acknowledged_write_has_reached_watchers(store: Store) -> None:
    seen: list[int] = []

    async def follow() -> None:
        async with watching(store, "/", 2) as watch:
            async for batch in watch:
                seen.append(batch.revision)  # noqa: PERF401 - seen is read meanwhile

    follower = asyncio.ensure_future(follow())
    await asyncio.sleep(0.01)
    for number in range(20):
        revision = await put(store, f"/{number}")
        assert seen[-1:] == [revision]
    follower.cancel()
    await asyncio.gather(follower, return_exceptions=True)


async def test_a_watcher_that_falls_behind_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._feed, "_batches_max", 3)  # type: ignore[attr-defined]
    async with watching(store, "/", 2) as watch:
        await put(store, "/a")
        assert (await anext(watch)).revision == 2
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        await put(store, "/a")
        await waiting
        await asyncio.gather(*(put(store, "/a") for _ in range(5)))
        with pytest.raises(WatchOverflow):
            await take(watch, 6)
    assert (await store.get("/a")) is not None


async def test_close_ends_everything(store: Store) -> None:
    watch = store.watch("/", start_revision=2)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0.01)
    await store.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await store.get("/a")
    with pytest.raises(Unavailable):
        await store.txn([], [Put("/a", b"1")])
    with pytest.raises(Unavailable):
        await store.range("/")
    with pytest.raises(Unavailable):
        await anext(store.watch("/", start_revision=2))
    await store.close()


async def test_concurrent_writers_of_one_key(store: Store) -> None:
    """Compare-and-swap increments from many writers lose none."""
    await put(store, "/n", b"0")

    async def increment(times: int) -> None:
        for _ in range(times):
            while True:
                entry = await store.get("/n")
                assert entry is not None
                swapped = await store.txn(
                    [Compare("/n", entry.mod_revision)],
                    [Put("/n", str(int(entry.value) + 1).encode())],
                )
                if swapped.succeeded:
                    break

    await asyncio.gather(*(increment(10) for _ in range(8)))
    entry = await store.get("/n")
    assert entry is not None
    assert (entry.value, entry.mod_revision) == (b"80", 82)


class Model:
    """The contract in its plainest form: a full copy of the state for each revision."""

    def __init__(self) -> None:
        self.states: list[dict[str, Entry]] = [{}, {}]  # by revision; 0 does not exist
        self.changes: list[set[tuple[str, bytes | None, int]]] = [set(), set()]

    def txn(self, compares: list[Compare], operations: list[Put | Delete]) -> tuple[bool, int]:
        state = dict(self.states[-1])
        for compare in compares:
            entry = state.get(compare.key)
            if compare.mod_revision != (entry.mod_revision if entry else 0):
                return False, len(self.states) - 1
        revision = len(self.states)
        changes: set[tuple[str, bytes | None, int]] = set()
        for op in operations:
            old = state.get(op.key)
            if isinstance(op, Put):
                created = old.create_revision if old else revision
                state[op.key] = Entry(op.key, op.value, created, revision)
                changes.add((op.key, op.value, created))
            elif old:
                del state[op.key]
                changes.add((op.key, None, old.create_revision))
        if changes:
            self.states.append(state)
            self.changes.append(changes)
        return True, len(self.states) - 1

    def select(self, prefix: str, start: str, revision: int) -> list[Entry]:
        state = self.states[revision]
        return [state[k] for k in sorted(state) if k.startswith(prefix) and k >= start]


KEYS = [f"/{a}/{b}" for a in ("p", "pp", "q") for b in ("a", "b", "c_", "é")]


def random_txn(rng: random.Random, model: Model) -> tuple[list[Compare], list[Put | Delete]]:
    compares = []
    for key in rng.sample(KEYS, rng.randint(0, 2)):
        entry = model.states[-1].get(key)
        actual = entry.mod_revision if entry else 0
        compares.append(Compare(key, actual if rng.random() < 0.8 else rng.randint(0, 9)))
    operations: list[Put | Delete] = []
    for key in rng.sample(KEYS, rng.randint(0, 3)):
        value = rng.randbytes(rng.randint(0, 5))
        operations.append(Put(key, value) if rng.random() < 0.6 else Delete(key))
    return compares, operations


@pytest.mark.parametrize("seed", range(8))
async def test_random_histories_agree_with_the_model(store: Store, seed: int) -> None:
    rng, model, compacted = random.Random(seed), Model(), 0
    for step in range(150):
        compares, operations = random_txn(rng, model)
        result = await store.txn(compares, operations)
        assert (result.succeeded, result.revision) == model.txn(compares, operations)
        now = len(model.states) - 1
        if step % 40 == 39:
            compacted = rng.randint(compacted, now)
            await store.compact(compacted)
        prefix, start = rng.choice(["", "/p", "/p/", "/q/", "/none"]), rng.choice(["", *KEYS])
        revision, limit = rng.randint(max(compacted, 1), now), rng.choice([0, 1, 3])
        expected = model.select(prefix, start, revision)
        found = await store.range(prefix, start=start, limit=limit, revision=revision)
        assert list(found.entries) == (expected[:limit] if limit else expected)
        assert (found.count, found.revision) == (len(expected), revision)
        assert found.more == (limit > 0 and len(expected) > limit)
    await check_history(store, model, compacted)


async def check_history(store: Store, model: Model, compacted: int) -> None:
    last = len(model.states) - 1
    async with watching(store, "", compacted + 1) as watch:
        async for batch in watch:
            got = {(c.key, c.value, c.create_revision) for c in batch.changes}
            assert got == model.changes[batch.revision]
            if batch.revision == last:
                break
