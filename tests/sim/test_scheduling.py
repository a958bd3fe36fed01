"""Decisions are explained at ``pods/scheduling``, to those who may read it; waits end by hints."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sagong.api import errors
from sagong.api.meta import condition
from sagong.api.types import Obj, User
from sagong.cli.verbs.why import lines_of, without_record
from sagong.sim.loop import run_virtual

from .world import World, world


def run(test: Callable[[World], Awaitable[None]], nodes: int = 3) -> None:
    async def main() -> None:
        async with world(nodes=nodes) as seen:
            await test(seen)

    run_virtual(main(), 0, limit_seconds=3600)


def pod(name: str, cpu: str = "1", **spec: object) -> Obj:
    container = {"name": "main", "image": "one:1", "resources": {"requests": {"cpu": cpu}}}
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], **spec},
    }


def placed(seen: World, name: str) -> bool:
    found = seen.cache.get("pods", "default", name)
    return bool(found and found["spec"].get("nodeName"))


def refused(seen: World, name: str) -> str:
    found = condition(seen.get("pods", name), "PodScheduled") or {}
    return str(found.get("message", "")) if found.get("status") == "False" else ""


async def record_of(seen: World, name: str) -> Obj:
    async def published() -> Obj | None:
        try:
            found = await seen.client.get(
                "pods", name, namespace="default", subresource="scheduling"
            )
        except errors.NotFound:
            return None
        return found

    for _ in range(40):
        if found := await published():
            return found
        await asyncio.sleep(0.25)
    raise AssertionError(f"nothing published about {name}")


def test_every_decision_is_explained() -> None:
    async def test(seen: World) -> None:
        await seen.client.patch("nodes", "node-0", {"spec": {"unschedulable": True}})
        await asyncio.sleep(1.0)
        await seen.create("pods", pod("small"))
        await seen.wait(lambda: placed(seen, "small"))
        record = await record_of(seen, "small")
        node = seen.get("pods", "small")["spec"]["nodeName"]
        assert record["kind"] == "PodScheduling"
        assert record["nodeName"] == node
        assert record["nodes"] == 3
        assert record["score"] == sum(s["score"] for s in record["scores"])
        assert {s["plugin"] for s in record["scores"]} >= {"NodeResourcesFit", "TaintToleration"}
        (entry,) = record["refusals"]
        assert entry["nodes"] == ["node-0"]
        assert entry["count"] == 1
        text = "\n".join(lines_of(seen.get("pods", "small"), record))
        assert f"small went to {node}" in text
        assert "node-0" in text

        await seen.create("pods", pod("huge", cpu="4000"))
        await seen.wait(lambda: refused(seen, "huge") != "")
        record = await record_of(seen, "huge")
        assert "nodeName" not in record
        assert record["message"] == refused(seen, "huge")
        counts = {e["plugin"]: e["count"] for e in record["refusals"]}
        assert counts["NodeResourcesFit"] == 2
        text = "\n".join(lines_of(seen.get("pods", "huge"), record))
        assert "NodeResourcesFit: Insufficient cpu" in text

    run(test)


def test_records_are_for_those_who_may_read_and_write_them() -> None:
    async def test(seen: World) -> None:
        made = await seen.create("pods", pod("small"))
        await seen.wait(lambda: placed(seen, "small"))
        record = await record_of(seen, "small")
        stranger = seen.client_of(User("stranger", groups=("system:authenticated",)))
        with pytest.raises(errors.Forbidden):
            await stranger.get("pods", "small", namespace="default", subresource="scheduling")
        with pytest.raises(errors.Forbidden):
            await stranger.update("pods", record, subresource="scheduling")
        # A scheduler of one's own may publish as ours does.
        publisher = seen.client_of(User("system:kube-scheduler", groups=("system:authenticated",)))
        own = {**record, "schedulerName": "mine"}
        await publisher.update("pods", own, subresource="scheduling")
        assert (await record_of(seen, "small"))["schedulerName"] == "mine"
        other = {**own, "metadata": {**own["metadata"], "uid": "another"}}
        with pytest.raises(errors.Conflict):
            await publisher.update("pods", other, subresource="scheduling")
        with pytest.raises(errors.BadRequest):
            await publisher.update("pods", {**own, "kind": "Pod"}, subresource="scheduling")
        with pytest.raises(errors.NotFound):
            await seen.client.get("pods", "nobody", namespace="default", subresource="scheduling")
        text = "\n".join(without_record(seen.get("pods", "small")))
        assert made["metadata"]["name"] in text

    run(test)


def test_a_pod_without_place_is_woken_by_what_helps_and_by_nothing_else() -> None:
    async def test(seen: World) -> None:
        attempts: list[str] = []

        def note(old: Obj | None, new: Obj | None) -> None:
            event = new or old or {}
            if event.get("reason") == "FailedScheduling":
                attempts.append(f"{event['involvedObject']['name']} {event.get('count')}")

        seen.cache.on_change("events", note)
        await seen.create("pods", pod("fills", cpu="63"))
        await seen.wait(lambda: placed(seen, "fills"))
        await seen.create("pods", pod("large", cpu="63"))
        await seen.wait(lambda: refused(seen, "large") != "")
        await asyncio.sleep(5.0)  # until the event about it has been written too
        before = len(attempts)
        # Room for cpu does not come from labels, nor from pods that come.
        await seen.client.patch("nodes", "node-0", {"metadata": {"labels": {"some": "label"}}})
        await seen.create("pods", pod("small", cpu="10m"))
        await seen.wait(lambda: placed(seen, "small"))
        await asyncio.sleep(30.0)
        assert len(attempts) == before
        await seen.client.delete("pods", "fills", namespace="default", grace_period_seconds=0)
        await seen.wait(lambda: placed(seen, "large"))

    run(test, nodes=1)
