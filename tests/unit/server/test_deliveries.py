"""Events on their way from a cache to many connections: order, one encoding, bounded memory."""

import asyncio
from typing import Any

import orjson

from sagong.api.call import Event, EventType
from sagong.api.resources import ResourceTable
from sagong.api.types import Encoded, Obj
from sagong.server.cache import DELIVERIES_A_TURN, ResourceCache, SharedEvent
from sagong.server.http.watches import EVENTS_AT_A_TIME, Feed
from sagong.server.registry.served import Served
from sagong.server.registry.watching import WATCH_BUFFER_EVENTS, WatchStream, bookmark
from sagong.server.stored import to_stored

RESOURCE = ResourceTable().named("configmaps")
assert RESOURCE is not None


class Connection:
    """A Stream that keeps what it is given; behind as long as it is told to be."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.behind = False

    def write(self, data: bytes) -> bool:
        self.written.append(data)
        return not self.behind

    def start(self, exchange: Any, headers: dict[str, str]) -> None: ...

    async def drain(self) -> None: ...

    def listen(self, reader: Any) -> None: ...

    def events(self) -> list[tuple[str, str, str]]:
        """Type, name and version of what was written, out of its chunks."""
        found = []
        rest = b"".join(self.written)
        while rest:
            length, _, rest = rest.partition(b"\r\n")
            lines, rest = rest[: int(length, 16)], rest[int(length, 16) + 2 :]
            for line in lines.splitlines():
                event = orjson.loads(line)
                metadata = event["object"]["metadata"]
                found.append((event["type"], metadata.get("name"), metadata["resourceVersion"]))
        return found


def obj(name: str, size: int = 0) -> Obj:
    metadata = {"name": name, "namespace": "n"}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"x": "y" * size},
    }


def watcher(cache: ResourceCache) -> tuple[WatchStream, Connection, Feed]:
    stream, connection = WatchStream(cache, "n/", None, after=0), Connection()
    feed = Feed(connection, stream, None)
    stream.feed(feed.flush)
    stream.attach()
    return stream, connection, feed


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


async def test_all_watchers_get_all_events_in_order_encoded_once() -> None:
    assert RESOURCE is not None
    cache = ResourceCache(RESOURCE)
    watchers = [watcher(cache) for _ in range(3 * DELIVERIES_A_TURN)]
    expected = []
    for revision in range(2, 202):
        name = f"o{revision % 7}"
        type_ = "MODIFIED" if cache.get(f"n/{name}") else "ADDED"
        cache.apply(f"n/{name}", to_stored(obj(name)), revision)
        expected.append((type_, name, str(revision)))
        if revision % 10 == 0:  # some alone, some together with those before
            await asyncio.sleep(0)
    cache.apply("n/o1", None, 202)
    await settle()
    expected.append(("DELETED", "o1", "202"))
    for _, connection, _ in watchers:
        assert connection.events() == expected


async def test_a_line_is_made_once_for_all() -> None:
    assert RESOURCE is not None
    cache = ResourceCache(RESOURCE)
    watchers = [watcher(cache) for _ in range(2 * DELIVERIES_A_TURN)]
    cache.apply("n/a", to_stored(obj("a")), 2)
    await settle()
    assert len({id(connection.written[0]) for _, connection, _ in watchers}) == 1


async def test_bookmarks_keep_their_place() -> None:
    assert RESOURCE is not None
    cache = ResourceCache(RESOURCE)
    served = Served(resource=RESOURCE, storage=RESOURCE, strategy=None, node=None)  # type: ignore[arg-type]
    stream, connection, _ = watcher(cache)
    cache.apply("n/a", to_stored(obj("a")), 2)
    stream.put(bookmark(served, 2))
    cache.apply("n/a", to_stored(obj("a", 1)), 3)
    await settle()
    assert [(type_, version) for type_, _, version in connection.events()] == [
        ("ADDED", "2"),
        ("BOOKMARK", "2"),
        ("MODIFIED", "3"),
    ]


async def test_a_watcher_that_falls_behind_is_ended_and_harms_no_other() -> None:
    assert RESOURCE is not None
    cache = ResourceCache(RESOURCE)
    slow, behind, feed = watcher(cache)
    _, quick, _ = watcher(cache)
    behind.behind = True
    last = 1 + 2 * WATCH_BUFFER_EVENTS
    for revision in range(2, last + 1):
        cache.apply("n/a", to_stored(obj("a")), revision)
        if revision % EVENTS_AT_A_TIME == 0:
            await settle()
    await settle()
    # One write is under way and so many events wait; then the watch is over and takes no more.
    assert len(slow._pending) == WATCH_BUFFER_EVENTS
    assert cache.watcher_count == 1
    assert [version for _, _, version in quick.events()] == [str(r) for r in range(2, last + 1)]
    # What was promised is still written, in order and without a gap, when the client reads on.
    behind.behind = False
    feed.on_writable()
    await asyncio.wait_for(feed.done, 5)
    versions = [int(version) for _, _, version in behind.events()]
    assert versions == list(range(2, 2 + len(versions)))
    assert len(versions) < last


async def test_a_superseded_object_is_kept_as_bytes_only() -> None:
    assert RESOURCE is not None
    cache = ResourceCache(RESOURCE)
    cache.apply("n/a", to_stored(obj("a")), 2)
    before = cache.get("n/a")
    assert before is not None
    assert before.encoded.obj["metadata"]["resourceVersion"] == "2"
    cache.apply("n/a", to_stored(obj("a", 1)), 3)
    assert before.encoded.decoded is None
    assert before.encoded.obj["metadata"]["resourceVersion"] == "2"  # still there for who asks
    (first, second) = cache.changes_since(1, "")
    assert not first._events
    assert not second._events
    assert before.stored == to_stored(obj("a"))


def test_a_frame_is_made_once_for_all_watchers() -> None:
    made: list[Event] = []

    def make(event: Event) -> bytes:
        made.append(event)
        return b"frame"

    event = SharedEvent(EventType.ADDED, Encoded({"kind": "ConfigMap"}))
    assert [event.frame(make), event.frame(make)] == [b"frame", b"frame"]
    assert made == [event]
