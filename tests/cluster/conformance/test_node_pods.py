"""[sig-node] Pods and Pods Extended: the life of a pod as clients follow it."""

import asyncio
import ipaddress
from functools import partial

import aiohttp
from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, condition_of, container_status, is_ready, pod, shell

from sagong.api.call import PatchType
from sagong.api.types import Obj
from sagong.client.kubeconfig import read_context


async def test_submitted_and_removed(space: Space) -> None:
    """A watcher sees a pod come, run, begin to end, and go."""
    selector = {"label_selector": "time=now"}
    assert await space.listed("pods", **selector) == []
    version = (await space.client.list("pods", namespace=space.name, **selector)).resource_version
    watch = await space.client.watch(
        "pods", namespace=space.name, resource_version=version, **selector
    )
    manifest = pod("passing", shell(FOREVER), labels={"name": "foo", "time": "now"})
    await space.create("pods", {**manifest, "spec": {**manifest["spec"]}})
    told: list[Obj] = []
    deleted = False
    async with asyncio.timeout(90):
        async for event in watch:
            told.append({"type": str(event.type), "object": event.obj})
            if not deleted and is_ready(event.obj):
                deleted = True
                assert len(await space.listed("pods", **selector)) == 1
                await space.client.delete(
                    "pods", "passing", namespace=space.name, grace_period_seconds=30
                )
            if told[-1]["type"].endswith("DELETED"):
                break
    assert told[0]["type"].endswith("ADDED")
    assert any(t["object"]["metadata"].get("deletionTimestamp") for t in told[:-1])
    last = told[-1]["object"]["metadata"]
    assert last["deletionTimestamp"]
    assert await space.listed("pods", **selector) == []


async def test_labels_may_change(space: Space) -> None:
    await space.run(pod("renamed", shell(FOREVER), labels={"time": "then"}), is_ready)
    seen = await space.get("pods", "renamed")
    seen["metadata"]["labels"] = {"time": "later"}
    await space.client.update("pods", seen)
    assert len(await space.listed("pods", label_selector="time=later")) == 1
    assert await space.listed("pods", label_selector="time=then") == []


async def test_a_deadline_may_be_set_on_a_running_pod(space: Space) -> None:
    await space.run(pod("timed", shell(FOREVER)), is_ready)
    await space.patch("pods", "timed", {"spec": {"activeDeadlineSeconds": 3}})
    seen = await space.wait("pods", "timed", lambda p: p["status"]["phase"] == "Failed")
    assert seen["status"]["reason"] == "DeadlineExceeded"
    assert seen["status"]["message"] == (
        "Pod was active on the node longer than the specified deadline"
    )


async def test_a_pod_has_its_hosts_address(space: Space) -> None:
    seen = await space.run(pod("housed", shell(FOREVER)), is_ready)
    status = seen["status"]
    assert ipaddress.ip_address(status["hostIP"])
    assert status["hostIPs"][0] == {"ip": status["hostIP"]}
    node = await space.client.get("nodes", seen["spec"]["nodeName"])
    assert status["hostIP"] in {a["address"] for a in node["status"]["addresses"]}


async def test_the_life_of_a_pod_and_its_status(space: Space) -> None:
    labels = {"test-pod-static": "true"}
    await space.run(pod("lived", shell(FOREVER), labels=labels), is_ready)
    patch = {
        "metadata": {"labels": {"test-pod": "patched"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c0"}]},
    }
    patched = await space.client.patch(
        "pods", "lived", patch, namespace=space.name, patch_type=PatchType.STRATEGIC
    )
    assert patched["metadata"]["labels"]["test-pod"] == "patched"
    # Somebody else's word about readiness stands until the node has something to tell itself.
    seen = await space.get("pods", "lived")
    for condition in seen["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition["status"] = "False"
    replaced = await space.client.update("pods", seen, subresource="status")
    assert condition_of(replaced, "Ready") == "False"
    await space.wait("pods", "lived", is_ready)
    through = await space.client.get("pods", "lived", namespace=space.name, subresource="status")
    assert through["metadata"]["uid"] == seen["metadata"]["uid"]
    await space.client.delete_collection(
        "pods", namespace=space.name, label_selector="test-pod-static=true"
    )
    await space.wait_gone("pods", "lived")


async def test_logs_over_a_websocket(space: Space) -> None:
    await space.run(pod("alive", shell(f"echo container is alive; {FOREVER}")), is_ready)
    access = read_context(space.cluster.kubeconfig).access
    path = f"/api/v1/namespaces/{space.name}/pods/alive/log?container=c0"
    for protocol in ("binary.k8s.io", ""):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                access.server + path,
                protocols=(protocol,) if protocol else (),
                ssl=access.ssl_context(),
                headers={"Authorization": f"Bearer {access.token}"} if access.token else {},
            ) as socket,
        ):
            assert (socket.protocol or "") == protocol
            text = b""
            async for message in socket:
                data = message.data
                text += data if isinstance(data, bytes) else data.encode()
            assert text == b"container is alive\n"


async def test_generations_up_to_the_graceful_delete(space: Space) -> None:
    """A generation given at creation does not count; a graceful delete is an update."""
    script = "trap '' TERM; while :; do sleep 1; done"
    manifest = pod("aged", shell(script), terminationGracePeriodSeconds=5)
    manifest["metadata"]["generation"] = 100
    seen = await space.run(manifest, is_ready)
    assert seen["metadata"]["generation"] == 1
    assert seen["status"]["observedGeneration"] == 1
    await space.client.delete("pods", "aged", namespace=space.name)
    seen = await space.wait("pods", "aged", lambda p: p["metadata"].get("deletionTimestamp"))
    assert seen["metadata"]["generation"] == 2
    await space.wait("pods", "aged", lambda p: p["status"]["observedGeneration"] == 2)
    await space.client.delete("pods", "aged", namespace=space.name, grace_period_seconds=0)


async def test_five_hundred_generations_are_observed(space: Space) -> None:
    await space.run(pod("busy", shell(FOREVER), activeDeadlineSeconds=100_000), is_ready)
    # Deadlines may only shrink, so that each of 499 changes is one.
    for i in range(499):
        await space.patch("pods", "busy", {"spec": {"activeDeadlineSeconds": 99_999 - i}})
    seen = await space.wait("pods", "busy", lambda p: p["status"]["observedGeneration"] == 500)
    assert seen["metadata"]["generation"] == 500
    assert {c["observedGeneration"] for c in seen["status"]["conditions"]} >= {500}
    assert container_status(seen)["restartCount"] == 0


async def test_readiness_gates(space: Space) -> None:
    gates = [{"conditionType": "k8s.io/gate1"}]
    await space.create("pods", pod("gated", shell(FOREVER), readinessGates=gates))
    seen = await space.wait("pods", "gated", lambda p: condition_of(p, "ContainersReady") == "True")
    ready = next(c for c in seen["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    for status in ("True", "False"):
        condition = {"type": "k8s.io/gate1", "status": status}
        patch = {"status": {"conditions": [condition]}}
        await space.client.patch(
            "pods",
            "gated",
            patch,
            namespace=space.name,
            subresource="status",
            patch_type=PatchType.STRATEGIC,
        )
        await space.wait("pods", "gated", partial(_is, "Ready", status))


def _is(condition: str, status: str, seen: Obj) -> bool:
    return condition_of(seen, condition) == status
