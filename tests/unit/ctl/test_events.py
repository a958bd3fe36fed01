"""Events: counted, combined, cut off, and never in the way."""

import asyncio
from collections.abc import Awaitable, Callable

from plain_server import PlainServer

from sagong.api.call import Call, Verb
from sagong.api.errors import Forbidden, ServiceUnavailable
from sagong.api.types import Obj
from sagong.core.clock import LoopClock
from sagong.core.ids import SeededIds
from sagong.core.tasks import task_group
from sagong.ctl.events import COMBINED, QUEUE_EVENTS, Recorder
from sagong.sim.loop import run_virtual

EPOCH = 1_700_000_000.0
POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7"},
}


def scenario(body: Callable[[PlainServer, Recorder], Awaitable[None]]) -> None:
    async def main() -> None:
        server = PlainServer()
        clock, ids = LoopClock(EPOCH), SeededIds(0)
        recorder = Recorder(server.client(), component="kubelet", clock=clock, ids=ids, host="x")
        async with task_group() as tasks:
            tasks.start(recorder.run(), name="recorder")
            await body(server, recorder)

    run_virtual(main())


async def stored(server: PlainServer) -> list[Obj]:
    found = await server.client().list("events")
    return [item.obj for item in found.items]


def test_the_stored_object_is_upstreams() -> None:
    async def body(server: PlainServer, recorder: Recorder) -> None:
        recorder.emit(POD, "Normal", "Pulled", "image is there")
        await asyncio.sleep(1)
        [event] = await stored(server)
        for key in ("uid", "resourceVersion"):
            del event["metadata"][key]
        assert event == {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"p.{int(EPOCH * 1e9):x}", "namespace": "n"},
            "involvedObject": {
                "kind": "Pod",
                "namespace": "n",
                "name": "p",
                "uid": "u",
                "apiVersion": "v1",
                "resourceVersion": "7",
            },
            "reason": "Pulled",
            "message": "image is there",
            "source": {"component": "kubelet", "host": "x"},
            "firstTimestamp": "2023-11-14T22:13:20Z",
            "lastTimestamp": "2023-11-14T22:13:20Z",
            "count": 1,
            "type": "Normal",
            "eventTime": None,
            "reportingComponent": "kubelet",
            "reportingInstance": "x",
        }

    scenario(body)


def test_cluster_scoped_objects_have_their_events_in_default_and_parts_a_field_path() -> None:
    async def body(server: PlainServer, recorder: Recorder) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x", "uid": "x"}}
        part = {"kind": "Pod", "namespace": "n", "name": "p", "fieldPath": "spec.containers{c}"}
        recorder.emit(node, "Normal", "Starting", "")
        recorder.emit(part, "Normal", "Created", "")
        await asyncio.sleep(1)
        of_node, of_part = await stored(server)
        assert of_node["metadata"]["namespace"] == "default"
        assert "namespace" not in of_node["involvedObject"]
        assert of_part["involvedObject"]["fieldPath"] == "spec.containers{c}"

    scenario(body)


def test_equal_events_are_counted_in_one_object() -> None:
    async def body(server: PlainServer, recorder: Recorder) -> None:
        for _ in range(4):
            recorder.emit(POD, "Warning", "BackOff", "again")
            await asyncio.sleep(30)
        [event] = await stored(server)
        assert event["count"] == 4
        assert event["firstTimestamp"] == "2023-11-14T22:13:20Z"
        assert event["lastTimestamp"] == "2023-11-14T22:14:50Z"
        assert server.count(Verb.PATCH, "events") == 3

        await server.client().delete("events", event["metadata"]["name"], namespace="n")
        recorder.emit(POD, "Warning", "BackOff", "again")
        await asyncio.sleep(1)
        [event] = await stored(server)
        assert event["count"] == 5

    scenario(body)


def test_similar_events_are_combined_after_the_tenth() -> None:
    async def body(server: PlainServer, recorder: Recorder) -> None:
        for number in range(15):
            recorder.emit(POD, "Warning", "Failed", f"reason {number}")
            await asyncio.sleep(10)
        events = await stored(server)
        assert len(events) == 10
        [combined] = [e for e in events if e["message"].startswith(COMBINED)]
        assert combined["message"] == COMBINED + "reason 14"
        assert combined["count"] == 6

    scenario(body)


def test_a_flood_about_one_object_is_cut_off_and_others_are_not() -> None:
    async def body(server: PlainServer, recorder: Recorder) -> None:
        for _ in range(60):
            recorder.emit(POD, "Warning", "BackOff", "again")
            await asyncio.sleep(0.01)
        other = POD | {"metadata": POD["metadata"] | {"name": "q", "uid": "v"}}
        recorder.emit(other, "Normal", "Fine", "fine")
        await asyncio.sleep(1)
        assert sorted(e["count"] for e in await stored(server)) == [1, 25]
        await asyncio.sleep(301)
        recorder.emit(POD, "Warning", "BackOff", "again")
        await asyncio.sleep(1)
        assert max(e["count"] for e in await stored(server)) == 61

    scenario(body)


def test_an_unreachable_server_is_retried_and_the_queue_is_bounded() -> None:
    async def body(server: PlainServer, recorder: Recorder) -> None:
        def fail(call: Call) -> None:
            if asyncio.get_running_loop().time() < 60:
                raise ServiceUnavailable("down")

        server.before = fail
        for number in range(QUEUE_EVENTS + 10):
            about = POD | {"metadata": POD["metadata"] | {"name": f"p{number}"}}
            recorder.emit(about, "Normal", "R", "m")
        assert recorder.lost == 10
        await asyncio.sleep(100)
        assert len(await stored(server)) == QUEUE_EVENTS

    scenario(body)


def test_a_refused_event_is_lost_and_the_next_is_sent() -> None:
    async def body(server: PlainServer, recorder: Recorder) -> None:
        def refuse(call: Call) -> None:
            if call.verb == Verb.CREATE and call.body["reason"] == "Bad":
                raise Forbidden("namespace is being terminated")

        server.before = refuse
        recorder.emit(POD, "Normal", "Bad", "m")
        recorder.emit(POD, "Normal", "Good", "m")
        await asyncio.sleep(1)
        assert [e["reason"] for e in await stored(server)] == ["Good"]
        assert recorder.lost == 1

    scenario(body)
