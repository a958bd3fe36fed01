"""StatefulSets as conformance tries them: over HTTPS, with all controllers and pretended nodes."""

from typing import Any

import pytest
from spaces import Space, template, wait_deleted

from sagong.controllers.pods.state import is_ready

pytestmark = pytest.mark.asyncio(loop_scope="module")
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
PATH = "apps/v1 statefulsets/ss"
NOT_READY = "sim.sagong.dev/not-ready"
REVISION = "controller-revision-hash"


async def create(space: Space, replicas: int, **spec: Any) -> None:
    """With a headless service, as a StatefulSet has."""
    ports = {"clusterIP": "None", "selector": {"app": "ss"}, "ports": [{"port": 80}]}
    await space.create("services", "test", spec=ports)
    spec = {"replicas": replicas, "serviceName": "test", "selector": {"matchLabels": {"app": "ss"}},
            "template": template(app="ss")} | spec  # fmt: skip
    await space.create("apps/v1 statefulsets", "ss", spec=spec)


async def ready(space: Space, count: int, **status: Any) -> Any:
    """The set, once so many of its pods are ready."""

    def holds(found: Any) -> bool:
        seen = found["status"]
        return bool(
            seen["replicas"] == seen.get("readyReplicas", 0) == count
            and seen["observedGeneration"] == found["metadata"]["generation"]
            and all(seen.get(k) == v for k, v in status.items())
        )

    return await space.wait(PATH, holds)


async def pods(space: Space) -> dict[str, Any]:
    found = (await space.ask("GET", "pods?labelSelector=app=ss"))["items"]
    return {p["metadata"]["name"]: p for p in found}


async def images(space: Space) -> dict[str, str]:
    return {n: p["spec"]["containers"][0]["image"] for n, p in (await pods(space)).items()}


async def revisions(space: Space) -> dict[str, str]:
    return {n: p["metadata"]["labels"][REVISION] for n, p in (await pods(space)).items()}


async def break_probe(space: Space, name: str, *, broken: bool = True) -> None:
    annotation = {NOT_READY: "true" if broken else None}
    await space.patch(f"pods/{name}", {"metadata": {"annotations": annotation}})
    await space.wait(f"pods/{name}", lambda pod: pod is not None and is_ready(pod) != broken)


async def scale(space: Space, replicas: int) -> None:
    await space.patch(PATH, {"spec": {"replicas": replicas}})


async def observed(space: Space) -> None:
    await space.wait(
        PATH, lambda s: s["status"].get("observedGeneration") == s["metadata"]["generation"]
    )


async def set_image(space: Space, image: str, **spec: Any) -> None:
    wanted = {"spec": {"containers": [{"name": "c", "image": image}]}}
    patch = {"spec": {"template": wanted} | spec}
    await space.ask("PATCH", PATH, patch, headers=STRATEGIC)


def order(events: list[Any], type_: str) -> list[str]:
    return [e["object"]["metadata"]["name"] for e in events if e["type"] == type_]


async def test_scaling_is_ordered_and_halts(live: Space) -> None:
    async with live.watching("pods?labelSelector=app=ss") as events:
        await create(live, 1)
        await ready(live, 1)
        await break_probe(live, "ss-0")
        await scale(live, 3)
        await observed(live)
        await live.wait(PATH, lambda s: not s["status"].get("readyReplicas"))
        assert list(await pods(live)) == ["ss-0"]
        await break_probe(live, "ss-0", broken=False)
        await ready(live, 3)
        assert order(events, "ADDED") == ["ss-0", "ss-1", "ss-2"]
        _check_one_by_one(events)
        for name in ("ss-0", "ss-1", "ss-2"):
            await break_probe(live, name)
        await live.wait(PATH, lambda s: not s["status"].get("readyReplicas"))
        await scale(live, 0)
        await observed(live)
        assert len(await pods(live)) == 3
        for name in ("ss-0", "ss-1", "ss-2"):
            await live.patch(f"pods/{name}", {"metadata": {"annotations": {NOT_READY: None}}})
        await ready(live, 0)
        await live.wait("pods", lambda found: not found["items"])
        await wait_deleted(events)
    assert order(events, "DELETED") == ["ss-2", "ss-1", "ss-0"]


def _check_one_by_one(events: list[Any]) -> None:
    """Each pod is made when the one before is ready."""
    ready_ones: set[str] = set()
    made = 0
    for event in events:
        pod = event["object"]
        if event["type"] == "ADDED":
            assert len(ready_ones) == made
            made += 1
        if is_ready(pod):
            ready_ones.add(pod["metadata"]["name"])
        else:
            ready_ones.discard(pod["metadata"]["name"])


async def test_bursts_do_not_wait_for_the_unhealthy(live: Space) -> None:
    await create(live, 1, podManagementPolicy="Parallel")
    await ready(live, 1)
    await break_probe(live, "ss-0")
    await scale(live, 3)
    await live.wait(PATH, lambda s: s["status"].get("readyReplicas") == 2)
    assert sorted(await pods(live)) == ["ss-0", "ss-1", "ss-2"]
    await break_probe(live, "ss-0", broken=False)
    await ready(live, 3)
    await break_probe(live, "ss-1")
    await scale(live, 0)
    await ready(live, 0)
    assert await pods(live) == {}


async def test_updates_and_rollbacks(live: Space) -> None:
    await create(live, 3)
    first = (await ready(live, 3, currentReplicas=3))["status"]
    assert first["currentRevision"] == first["updateRevision"]
    assert set((await revisions(live)).values()) == {first["currentRevision"]}
    # A pod that is not ready halts the update, and a roll-back replaces it.
    await break_probe(live, "ss-1")
    async with live.watching("pods?labelSelector=app=ss") as events:
        await set_image(live, "two:2")
        changed = await live.wait(
            PATH, lambda s: s["status"]["updateRevision"] != s["status"]["currentRevision"]
        )
        second = changed["status"]["updateRevision"]
        await break_probe(live, "ss-1", broken=False)
        found = await ready(live, 3, currentRevision=second, updatedReplicas=3)
        assert found["status"]["currentReplicas"] == 3
        assert order(events, "DELETED") == ["ss-2", "ss-1", "ss-0"]
    assert set((await images(live)).values()) == {"two:2"}
    assert set((await revisions(live)).values()) == {second}
    await set_image(live, "sagong.local/busybox:1")
    found = await ready(live, 3, currentRevision=first["currentRevision"], updatedReplicas=3)
    assert found["status"]["updateRevision"] == first["currentRevision"]
    assert set((await images(live)).values()) == {"sagong.local/busybox:1"}
    # The old revision came back as the newest, instead of a third one.
    kept = (await live.ask("GET", "apps/v1 controllerrevisions"))["items"]
    numbers = {r["metadata"]["name"]: r["revision"] for r in kept}
    assert numbers == {first["currentRevision"]: 3, second: 2}


async def test_canaries_and_phases(live: Space) -> None:
    await create(live, 3, updateStrategy={"type": "RollingUpdate", "rollingUpdate": partition(3)})
    old = (await ready(live, 3))["status"]["currentRevision"]
    await set_image(live, "two:2")
    found = await live.wait(PATH, lambda s: s["status"]["updateRevision"] != old)
    new = found["status"]["updateRevision"]
    # Nothing is updated above the end.
    await observed(live)
    assert set((await revisions(live)).values()) == {old}
    await set_partition(live, 2)
    await ready(live, 3, updatedReplicas=1, currentReplicas=2)
    assert await revisions(live) == {"ss-0": old, "ss-1": old, "ss-2": new}
    # What is deleted meanwhile comes back as it was.
    uids = {name: pod["metadata"]["uid"] for name, pod in (await pods(live)).items()}
    for name in ("ss-0", "ss-2"):
        await live.ask("DELETE", f"pods/{name}")
        uid = uids[name]
        await live.wait(f"pods/{name}", lambda pod, uid=uid: pod and pod["metadata"]["uid"] != uid)
    await ready(live, 3, updatedReplicas=1)
    assert await revisions(live) == {"ss-0": old, "ss-1": old, "ss-2": new}
    await set_partition(live, 1)
    await ready(live, 3, updatedReplicas=2)
    assert await revisions(live) == {"ss-0": old, "ss-1": new, "ss-2": new}
    await set_partition(live, 0)
    found = await ready(live, 3, updatedReplicas=3, currentRevision=new)
    assert set((await images(live)).values()) == {"two:2"}


def partition(first: int) -> Any:
    return {"partition": first}


async def set_partition(space: Space, first: int) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": partition(first)}
    await space.patch(PATH, {"spec": {"updateStrategy": strategy}})


async def test_the_scale_subresource_works(live: Space) -> None:
    await create(live, 1)
    await ready(live, 1)
    found = await live.ask("GET", f"{PATH}/scale")
    assert (found["spec"]["replicas"], found["status"]["replicas"]) == (1, 1)
    assert found["status"]["selector"] == "app=ss"
    found["metadata"].pop("resourceVersion")
    found["spec"]["replicas"] = 2
    assert (await live.ask("PUT", f"{PATH}/scale", found))["spec"]["replicas"] == 2
    assert (await ready(live, 2))["spec"]["replicas"] == 2
    patched = await live.patch(f"{PATH}/scale", {"spec": {"replicas": 4}})
    assert patched["spec"]["replicas"] == 4
    assert (await ready(live, 4))["spec"]["replicas"] == 4


async def test_failed_pods_are_replaced(live: Space) -> None:
    """As when a node refuses or evicts them; each takes the name, and the place, of the last."""
    await create(live, 1)
    await ready(live, 1)
    pod = await live.get("pods/ss-0")
    status = {"status": {"phase": "Failed", "reason": "Evicted", "message": "no room"}}
    await live.patch("pods/ss-0/status", status)
    uid = pod["metadata"]["uid"]
    await live.wait("pods/ss-0", lambda pod: pod and pod["metadata"]["uid"] != uid)
    await ready(live, 1)
    events = (await live.ask("GET", "events"))["items"]
    told = {e["reason"]: e["message"] for e in events}
    text = f"StatefulSet {live.name}/ss is recreating failed Pod ss-0"
    assert told["RecreatingFailedPod"] == text
