"""The runner: who is woken, who is retried, and never on a cache that lacks one's own writes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from plain_server import PlainServer

from sagong.api.call import Call, Verb
from sagong.api.errors import Forbidden
from sagong.api.meta import name_of, namespace_of, owner_reference, uid_of
from sagong.api.types import Key, Obj
from sagong.core.clock import LoopClock
from sagong.core.ids import SeededIds
from sagong.core.tasks import task_group
from sagong.ctl.controller import DONE, Controller, Env, Reconcile, Result, after, owned
from sagong.ctl.informer import SharedCache
from sagong.ctl.runner import Runner
from sagong.sim.loop import run_virtual

SETS = "replicasets.apps"


def replica_set(name: str, replicas: int) -> Obj:
    meta = {"name": name, "namespace": "n"}
    spec = {"replicas": replicas}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec}


def controller(**fields: object) -> Controller:
    fields = {"watches": (owned("pods"),), "workers": 2} | fields
    return Controller(name="test", reconciles=SETS, **fields)  # type: ignore[arg-type]


async def keep_replicas(key: Key, env: Env) -> Result:
    """A ReplicaSet controller without any guard of its own against a lagging cache."""
    owner = env.cache.get(SETS, key.namespace, key.name)
    if owner is None:
        return DONE
    pods = list(env.cache.owned_by("pods", uid_of(owner)))
    for _ in range(owner["spec"]["replicas"] - len(pods)):
        meta = {
            "name": f"{key.name}-{env.ids.suffix()}",
            "namespace": key.namespace,
            "ownerReferences": [owner_reference(owner)],
        }
        await env.client.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": meta})
    for pod in pods[owner["spec"]["replicas"] :]:
        await env.client.delete("pods", name_of(pod), namespace=namespace_of(pod))
    return DONE


Body = Callable[[PlainServer, SharedCache], Awaitable[None]]


def scenario(declared: Controller, reconcile: Reconcile, body: Body, *, seeds: int = 5) -> None:
    async def main(seed: int) -> None:
        server = PlainServer()
        ids = SeededIds(seed)
        cache = SharedCache(server.client(), ids)
        runner = Runner(lambda name: server.client(), cache, LoopClock(1e9), ids)
        runner.add(declared, reconcile)
        async with task_group() as tasks:
            tasks.start(cache.run(), name="cache")
            tasks.start(runner.run(), name="runner")
            await body(server, cache)

    for seed in range(seeds):
        run_virtual(main(seed), seed, limit_seconds=1_000_000)


def test_it_converges() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        client = server.client()
        await client.create(SETS, replica_set("a", 3))
        await asyncio.sleep(10)
        pods = list(cache.list("pods"))
        assert len(pods) == 3
        await client.delete("pods", name_of(pods[0]), namespace="n")
        await asyncio.sleep(10)
        assert len(list(cache.list("pods"))) == 3
        await client.update(SETS, replica_set("a", 1))
        await asyncio.sleep(10)
        assert len(list(cache.list("pods"))) == 1
        assert server.count(Verb.CREATE, "pods") == 4
        assert server.count(Verb.DELETE, "pods") == 3

    scenario(controller(), keep_replicas, body)


def test_a_lagging_cache_makes_nothing_twice() -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        client = server.client()
        await client.create(SETS, replica_set("a", 3))
        await client.create(SETS, replica_set("b", 2))
        await cache.wait_synced()
        server.before = lambda call: server.delivering.clear() if call.verb == Verb.CREATE else None
        await asyncio.sleep(10)
        made = server.count(Verb.CREATE, "pods")
        assert made in (3, 5)
        await client.update(SETS, replica_set("a", 3))
        await asyncio.sleep(100)
        assert server.count(Verb.CREATE, "pods") == made
        server.before = lambda call: None
        server.delivering.set()
        await asyncio.sleep(100)
        assert server.count(Verb.CREATE, "pods") == 5
        server.before = lambda call: server.delivering.clear() if call.verb == Verb.DELETE else None
        await client.update(SETS, replica_set("a", 1))
        await asyncio.sleep(100)
        assert server.count(Verb.DELETE, "pods") == 2
        server.delivering.set()
        await asyncio.sleep(100)
        assert server.count(Verb.DELETE, "pods") == 2

    scenario(controller(), keep_replicas, body, seeds=10)


def test_writes_that_are_never_seen_are_given_up_after_five_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        await server.client().create(SETS, replica_set("a", 1))
        await cache.wait_synced()
        await asyncio.sleep(1)
        first = server.count(Verb.CREATE, "pods")
        server.before = lambda call: server.delivering.clear() if call.verb == Verb.CREATE else None
        await server.client().update(SETS, replica_set("a", 2))
        await asyncio.sleep(299)
        assert server.count(Verb.CREATE, "pods") == first + 1
        assert not caplog.records
        await asyncio.sleep(10)
        assert "still unseen" in caplog.text
        caplog.clear()

    scenario(controller(), keep_replicas, body, seeds=2)


def test_failures_are_logged_and_retried_conflicts_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times: list[float] = []

    async def failing(key: Key, env: Env) -> Result:
        times.append(env.clock.monotonic())
        if len(times) == 1:
            raise Forbidden("no")
        if len(times) == 2:
            await env.client.get("pods", "none", namespace="n")
        if len(times) == 3:
            return after(50)
        return DONE

    async def body(server: PlainServer, cache: SharedCache) -> None:
        times.clear()
        await server.client().create(SETS, replica_set("a", 1))
        await asyncio.sleep(1000)
        start = times[0]
        assert [t - start for t in times] == pytest.approx([0, 0.005, 0.015, 50.015], abs=1e-4)

    caplog.set_level(logging.INFO)
    scenario(controller(), failing, body, seeds=1)
    told = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert told == ["test: n/a: Forbidden: no"]
    assert "Traceback" not in caplog.text


def test_resync_and_one_key_at_a_time() -> None:
    busy: set[Key] = set()
    runs: list[Key] = []

    async def slow(key: Key, env: Env) -> Result:
        assert key not in busy
        busy.add(key)
        runs.append(key)
        await asyncio.sleep(7)
        busy.discard(key)
        return DONE

    async def body(server: PlainServer, cache: SharedCache) -> None:
        runs.clear()
        busy.clear()
        client = server.client()
        for name in "abc":
            await client.create(SETS, replica_set(name, 1))
        for turn in range(50):
            await asyncio.sleep(1)
            await client.update(SETS, replica_set("a", turn))
        await asyncio.sleep(1000 - 50)
        assert runs.count(Key("n", "b")) in (10, 11)

    scenario(controller(resync_seconds=100), slow, body)


def test_a_mapper_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def body(server: PlainServer, cache: SharedCache) -> None:
        broken = {"uid": "u", "controller": True}
        meta = {"name": "p", "namespace": "n", "ownerReferences": [broken]}
        await server.client().create("pods", {"metadata": meta})
        await server.client().create(SETS, replica_set("a", 1))
        await asyncio.sleep(10)
        assert len(list(cache.list("pods"))) == 2

    scenario(controller(), keep_replicas, body, seeds=1)
    assert "cannot tell whom" in caplog.text


def test_the_identity_is_the_controllers() -> None:
    asked: list[str] = []
    server = PlainServer()

    def client_for(name: str) -> object:
        asked.append(name)
        return server.client()

    async def main() -> None:
        cache = SharedCache(server.client(), SeededIds(0))
        runner = Runner(client_for, cache, LoopClock(0), SeededIds(0))  # type: ignore[arg-type]
        runner.add(controller(), keep_replicas)
        with pytest.raises(LookupError):
            runner.add(Controller(name="x", reconciles="nonesuch"), keep_replicas)

    run_virtual(main())
    assert asked == ["test"]


def test_events_are_about_the_controller_component() -> None:
    async def emitting(key: Key, env: Env) -> Result:
        about = env.cache.get(SETS, key.namespace, key.name)
        assert about
        env.events.emit(about, "Normal", "Seen", "seen it")
        return DONE

    async def body(server: PlainServer, cache: SharedCache) -> None:
        await server.client().create(SETS, replica_set("a", 1))
        await asyncio.sleep(1)
        calls: list[Call] = [c for c in server.calls if c.resource.name == "events"]
        assert [c.body["source"] for c in calls] == [{"component": "test-controller"}]

    scenario(controller(), emitting, body, seeds=1)


def test_a_time_that_is_nearly_up_lets_the_clock_move() -> None:
    """What is left is less than a wall clock of that size can tell apart."""
    seen: list[float] = []

    async def due(key: Key, env: Env) -> Result:
        seen.append(env.clock.now())
        return after(1e-8) if len(seen) < 3 or seen[-1] == seen[0] else DONE

    async def body(server: PlainServer, cache: SharedCache) -> None:
        await server.client().create(SETS, replica_set("a", 1))
        await asyncio.sleep(1)
        assert len(set(seen)) == len(seen) == 3

    scenario(controller(), due, body, seeds=1)


def test_what_is_none_of_its_business_is_not_queued() -> None:
    seen: list[str] = []

    async def noting(key: Key, env: Env) -> Result:
        seen.append(key.name)
        return DONE

    async def body(server: PlainServer, cache: SharedCache) -> None:
        client = server.client()
        await client.create(SETS, replica_set("big", 3))
        await client.create(SETS, replica_set("small", 1))
        await asyncio.sleep(1)
        assert seen == ["big"]
        await client.update(SETS, replica_set("big", 1))  # it was, a moment ago
        await asyncio.sleep(1)
        assert seen == ["big", "big"]
        await client.update(SETS, replica_set("big", 0))
        await asyncio.sleep(1)
        assert seen == ["big", "big"]

    declared = controller(concerns=lambda found, _: found["spec"]["replicas"] > 1)
    scenario(declared, noting, body, seeds=1)
