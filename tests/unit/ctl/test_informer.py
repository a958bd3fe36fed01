"""The shared cache against a server that compacts, fails and lags."""

import asyncio
from collections.abc import Awaitable, Callable

from plain_server import PlainServer

from sagong.api.call import Call, Verb
from sagong.api.errors import Gone, ServiceUnavailable
from sagong.api.types import Obj
from sagong.core.ids import SeededIds
from sagong.core.tasks import task_group
from sagong.ctl.informer import RETRY_FIRST_SECONDS, SharedCache
from sagong.sim.loop import run_virtual
from sagong.store.errors import WatchOverflow

Body = Callable[[PlainServer, SharedCache], Awaitable[None]]


def pod(name: str, *, namespace: str = "n", node: str = "", owner: str = "") -> Obj:
    refs = [{"uid": owner, "controller": True, "kind": "ReplicaSet", "name": "r"}] if owner else []
    meta = {"name": name, "namespace": namespace, "ownerReferences": refs}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"nodeName": node}}


def by_node(obj: Obj) -> tuple[str, ...]:
    return (obj["spec"]["nodeName"],)


def names(objects: object) -> set[str]:
    return {obj["metadata"]["name"] for obj in objects}  # type: ignore[attr-defined]


def scenario(body: Body, *, seeds: int = 3) -> None:
    """Run a body with a running cache of pods, over several seeds."""

    async def main(seed: int) -> None:
        server = PlainServer()
        cache = SharedCache(server.client(), SeededIds(seed))
        cache.declare("pods", {"node": by_node})
        async with task_group() as tasks:
            tasks.start(cache.run(), name="cache")
            await body(server, cache)

    for seed in range(seeds):
        run_virtual(main(seed), seed, limit_seconds=100_000)


def test_it_lists_follows_and_indexes() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        client = server.client()
        await cache.wait_synced()
        await client.create("pods", pod("a", node="x", owner="u1"))
        made = await client.create("pods", pod("b", node="y", namespace="m"))
        await cache.wait_revision("pods", int(made["metadata"]["resourceVersion"]))
        assert names(cache.list("pods")) == {"a", "b"}
        assert names(cache.list("pods", "m")) == {"b"}
        assert names(cache.owned_by("pods", "u1")) == {"a"}
        assert names(cache.with_index("pods", "node", "y")) == {"b"}
        moved = await client.update("pods", pod("a", node="y"))
        await cache.wait_revision("pods", int(moved["metadata"]["resourceVersion"]))
        assert names(cache.with_index("pods", "node", "y")) == {"a", "b"}
        assert names(cache.with_index("pods", "node", "x")) == set()
        assert names(cache.owned_by("pods", "u1")) == set()
        uid = made["metadata"]["uid"]
        await client.delete("pods", "b", namespace="m")
        await cache.wait_gone("pods", "m", "b", uid)
        assert cache.get("pods", "m", "b") is None
        assert names(cache.with_index("pods", "node", "y")) == {"a"}

    scenario(body)


def test_handlers_hear_old_and_new_and_latecomers_what_is_there() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        heard: list[tuple[str | None, str | None]] = []
        late: list[str] = []

        def node(obj: Obj | None) -> str | None:
            return None if obj is None else obj["spec"]["nodeName"]

        cache.on_change("pods", lambda old, new: heard.append((node(old), node(new))))
        client = server.client()
        await client.create("pods", pod("a", node="1"))
        await cache.wait_synced()
        await client.update("pods", pod("a", node="2"))
        await client.delete("pods", "a", namespace="n")
        last = await client.create("pods", pod("b", node="3"))
        await cache.wait_revision("pods", int(last["metadata"]["resourceVersion"]))
        assert heard[-3:] == [("1", "2"), ("2", None), (None, "3")]
        cache.on_change(
            "pods", lambda old, new: late.append(new["metadata"]["name"] if new else "")
        )
        assert late == ["b"]

    scenario(body)


def test_compaction_while_cut_off_leads_to_a_list_whose_differences_are_heard() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        client = server.client()
        for name in ("gone", "kept", "changed"):
            await client.create("pods", pod(name))
        await asyncio.sleep(1)
        heard: list[str] = []

        def note(old: Obj | None, new: Obj | None) -> None:
            kind = "add" if old is None else "delete" if new is None else "update"
            obj = new or old
            assert obj
            heard.append(f"{kind} {obj['metadata']['name']}")

        cache.on_change("pods", note)
        heard.clear()
        cut = True

        def fail(call: Call) -> None:
            if cut and call.verb in (Verb.LIST, Verb.WATCH):
                raise ServiceUnavailable("cut off")

        server.before = fail
        # The live watch fails as a slow one does: its buffer is given up.
        for subscription in tuple(server.store._feed._subscriptions):
            subscription.fail(WatchOverflow("fell behind"))
        await client.delete("pods", "gone", namespace="n")
        await client.update("pods", pod("changed", node="z"))
        await client.create("pods", pod("new"))
        revision = await server.store.current_revision()
        await server.store.compact(revision)
        await asyncio.sleep(100)
        assert heard == []
        cut = False
        await cache.wait_revision("pods", revision)
        assert sorted(heard) == ["add new", "delete gone", "update changed"]
        assert names(cache.list("pods")) == {"kept", "changed", "new"}

    scenario(body)


def test_bookmarks_advance_the_revision() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        await cache.wait_synced()
        await server.client().create("configmaps", {"metadata": {"name": "c", "namespace": "n"}})
        await asyncio.sleep(1)  # the watch is open now
        revision = await server.store.current_revision()
        await cache.wait_revision("pods", revision)
        assert cache.revision("pods") == revision

    scenario(body)


def test_a_server_that_is_down_at_first_is_awaited_with_back_off() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        def fail(call: Call) -> None:
            if asyncio.get_running_loop().time() < 600:
                raise ServiceUnavailable("not yet")

        server.before = fail
        await cache.wait_synced()
        assert server.count(Verb.LIST, "pods") < 40

    scenario(body)


def test_one_that_is_answered_again_wakes_the_others() -> None:
    """After an hour without a server nobody waits out a back-off of half a minute."""

    async def body(server: PlainServer, cache: SharedCache) -> None:
        kinds = ("secrets", "services", "nodes", "configmaps")
        for kind in kinds:
            cache.declare(kind)
        loop = asyncio.get_running_loop()

        def fail(call: Call) -> None:
            if loop.time() < 3600:
                raise ServiceUnavailable("not yet")

        server.before = fail
        await asyncio.sleep(3600)
        cache.note_answered()
        await cache.wait_synced()
        assert loop.time() - 3600 < 2

    scenario(body)


def test_what_is_too_old_is_listed_at_once_and_not_in_a_tight_loop() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        await cache.wait_synced()
        await asyncio.sleep(1)
        began, loop = server.count(Verb.LIST, "pods"), asyncio.get_running_loop()
        since, lists = loop.time(), []

        def refuse(call: Call) -> None:
            if call.verb == Verb.WATCH:
                raise Gone("too old resource version: 1 (2)")
            lists.append(loop.time() - since)

        server.before = refuse
        for subscription in tuple(server.store._feed._subscriptions):
            subscription.fail(WatchOverflow("fell behind"))
        await asyncio.sleep(600)
        assert server.count(Verb.LIST, "pods") - began < 40
        # The watch is tried once more before the first list.
        assert lists[0] < 2 * RETRY_FIRST_SECONDS + 0.1

    scenario(body)


def test_resources_can_be_declared_and_dropped_while_it_runs() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        await server.client().create("secrets", {"metadata": {"name": "s", "namespace": "n"}})
        cache.declare("secrets")
        await cache.wait_synced(["secrets"])
        assert names(cache.list("secrets")) == {"s"}
        cache.drop("secrets")
        assert not cache.declared("secrets")

    scenario(body)


def test_a_watch_whose_server_is_gone_is_given_up() -> None:
    """It says nothing any more, not even that it ends."""

    async def body(server: PlainServer, cache: SharedCache) -> None:
        await cache.wait_synced()
        server.delivering.clear()
        made = {"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "m"}}
        await server.client().create("pods", made)
        await asyncio.sleep(300)
        assert server.count(Verb.WATCH, "pods") == 1
        server.delivering = asyncio.Event()  # another server has taken its place
        server.delivering.set()
        await asyncio.sleep(400)
        assert names(cache.list("pods")) == {"p"}

    scenario(body)
