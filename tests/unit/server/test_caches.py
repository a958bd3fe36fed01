"""The caches and what is written through this process."""

import asyncio
from collections.abc import Iterable

import orjson

from sagong.api.resources import ResourceTable
from sagong.api.types import Encoded, Obj
from sagong.core.tasks import task_group
from sagong.server.caches import Caches
from sagong.server.keys import path_of, prefix_of
from sagong.server.stored import to_stored
from sagong.store.drivers.memory import MemoryStore
from sagong.store.interface import Put

PODS = ResourceTable().named("pods")
assert PODS is not None
PATH = path_of("default", "a")


def pod(labels: Iterable[str]) -> Obj:
    metadata = {"name": "a", "namespace": "default", "labels": dict.fromkeys(labels, "x")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}


async def stored(obj: Obj, *, known: bool) -> Encoded:
    """The object in the cache after it was written."""
    assert PODS is not None
    store = MemoryStore()
    caches = Caches(store)
    cache = caches.add(PODS)
    async with task_group() as tasks:
        await caches.start(tasks)
        data = to_stored(obj)
        with caches.expecting(data, obj if known else None):
            result = await store.txn([], [Put(prefix_of(PODS) + PATH, data)])
            await caches.wait_revision(result.revision)
        item = cache.get(PATH)
        assert item is not None
        return item.encoded


def test_what_was_written_here_is_not_decoded_again() -> None:
    obj = pod("bc")
    for known in (True, False):
        encoded = asyncio.run(stored(obj, known=known))
        assert (encoded.decoded is not None) == known
        assert encoded.obj == orjson.loads(encoded.data)
        assert (encoded.obj["metadata"]["labels"] is obj["metadata"]["labels"]) == known
        assert "resourceVersion" not in obj["metadata"]
