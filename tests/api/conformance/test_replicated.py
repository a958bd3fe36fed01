"""ReplicaSets and ReplicationControllers as conformance tries them, over pretended nodes."""

import json
from typing import Any

import pytest
from spaces import MERGE, Space, condition, pod_spec, template, wait_deleted

pytestmark = pytest.mark.asyncio(loop_scope="module")
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
PATHS = {"ReplicaSet": "apps/v1 replicasets", "ReplicationController": "replicationcontrollers"}
kinds = pytest.mark.parametrize("kind", PATHS)


async def create(space: Space, kind: str, replicas: int, **fields: Any) -> str:
    """Its path."""
    labels = {"name": "try"}
    selector: Any = labels if kind == "ReplicationController" else {"matchLabels": labels}
    spec = {"replicas": replicas, "selector": selector, "template": template(**labels)}
    await space.create(PATHS[kind], "try", spec=spec, **fields)
    return f"{PATHS[kind]}/try"


async def available(space: Space, path: str, count: int) -> Any:
    def holds(found: Any) -> bool:
        status = found["status"]
        return bool(
            status.get("availableReplicas", 0) == status["replicas"] == count
            and status["observedGeneration"] == found["metadata"]["generation"]
        )

    return await space.wait(path, holds)


@kinds
async def test_the_scale_subresource_works(live: Space, kind: str) -> None:
    path = await create(live, kind, 1)
    await available(live, path, 1)
    scale = await live.ask("GET", f"{path}/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
    assert scale["status"]["selector"] == "name=try"
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 2
    put = await live.ask("PUT", f"{path}/scale", scale)
    assert put["spec"]["replicas"] == 2
    found = await available(live, path, 2)
    assert found["spec"]["replicas"] == 2
    patched = await live.patch(f"{path}/scale", {"spec": {"replicas": 4}})
    assert patched["spec"]["replicas"] == 4
    assert (await available(live, path, 4))["spec"]["replicas"] == 4


async def test_a_replica_set_is_scaled_and_patched(live: Space) -> None:
    labels = {"labels": {"test-rs": "original"}}
    path = await create(live, "ReplicaSet", 1, metadata=labels)
    await available(live, path, 1)
    assert (await live.ask("GET", "pods"))["items"][0]["status"]["phase"] == "Running"
    await live.patch(f"{path}/scale", {"spec": {"replicas": 2}})
    await available(live, path, 2)
    spec = {"terminationGracePeriodSeconds": 0}
    patch = {"metadata": {"labels": {"test-rs": "patched"}},
             "spec": {"replicas": 3, "template": {"spec": spec}}}  # fmt: skip
    await live.ask("PATCH", path, patch, headers=STRATEGIC)
    found = await available(live, path, 3)
    assert found["metadata"]["labels"]["test-rs"] == "patched"
    assert found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 0


@kinds
async def test_pods_are_adopted_and_released(live: Space, kind: str) -> None:
    await live.create("pods", "orphan", metadata={"labels": {"name": "try"}}, spec=pod_spec())
    path = await create(live, kind, 1)
    owner = (await live.get(path))["metadata"]["uid"]

    def is_owned(pod: Any) -> bool:
        refs = pod["metadata"].get("ownerReferences") or ()
        return any(r["uid"] == owner and r["controller"] for r in refs)

    await live.wait("pods/orphan", is_owned)
    await available(live, path, 1)
    assert await live.names("pods") == ["orphan"]
    await live.patch("pods/orphan", {"metadata": {"labels": {"name": "released"}}})
    await live.wait("pods/orphan", lambda pod: not is_owned(pod))
    await live.wait("pods", lambda found: len(found["items"]) == 2)


@kinds
async def test_a_quota_that_is_exceeded_is_told_of(live: Space, kind: str) -> None:
    await live.create("resourcequotas", "two", spec={"hard": {"pods": "2"}})
    await live.wait("resourcequotas/two", lambda q: "used" in q["status"])
    path = await create(live, kind, 3)
    found = await live.wait(path, lambda found: condition(found, "ReplicaFailure") is not None)
    told = condition(found, "ReplicaFailure")
    assert told["reason"] == "FailedCreate"
    assert (
        "exceeded quota: two, requested: pods=1, used: pods=2, limited: pods=2" in told["message"]
    )
    await live.patch(f"{path}/scale", {"spec": {"replicas": 2}})
    await live.wait(path, lambda found: condition(found, "ReplicaFailure") is None)


async def test_the_life_of_a_replication_controller(live: Space) -> None:
    labels = {"labels": {"test-rc-static": "true"}}
    async with live.watching("replicationcontrollers?labelSelector=test-rc-static=true") as events:
        path = await create(live, "ReplicationController", 1, metadata=labels)
        await available(live, path, 1)
        patched = await live.patch(path, {"metadata": {"labels": {"test-rc": "patched"}},
                                          "spec": {"template": {"metadata": None}}}
                                   | {"spec": {"replicas": 1}})  # fmt: skip
        assert patched["metadata"]["labels"]["test-rc"] == "patched"
        none = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
        answer = await live.ask("PATCH", f"{path}/status", none, headers=MERGE)
        assert not answer["status"].get("readyReplicas")
        # What is not true does not last.
        await available(live, path, 1)
        await live.patch(f"{path}/scale", {"spec": {"replicas": 2}})
        await available(live, path, 2)
        updated = {"test-rc": "updated"}
        changed = await live.change(path, lambda rc: rc["metadata"]["labels"].update(updated))
        assert changed["metadata"]["labels"]["test-rc"] == "updated"
        everywhere = "/api/v1/replicationcontrollers?labelSelector=test-rc-static=true"
        assert len((await live.ask("GET", everywhere))["items"]) == 1
        await live.ask("DELETE", "replicationcontrollers?labelSelector=test-rc-static=true")
        await live.wait(path, lambda found: found is None)
        await wait_deleted(events)
    assert [events[0]["type"], events[-1]["type"]] == ["ADDED", "DELETED"]
    assert "MODIFIED" in {e["type"] for e in events}
    assert any(not json.dumps(e["object"]["status"]).count("readyReplicas") for e in events)
