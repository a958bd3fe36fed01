"""DaemonSets as conformance tries them: over HTTPS, with all controllers and pretended nodes."""

from typing import Any

import pytest
from spaces import MERGE, Space, template

from sagong.controllers.pods.state import is_ready

pytestmark = pytest.mark.asyncio(loop_scope="module")
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
PATH = "apps/v1 daemonsets/ds"
NODES = 3


async def create(space: Space, **spec: Any) -> None:
    made = template(app="ds")
    made["spec"] |= spec.pop("pods", {})
    spec = {"selector": {"matchLabels": {"app": "ds"}}, "template": made} | spec
    await space.create("apps/v1 daemonsets", "ds", spec=spec)


async def running(space: Space, count: int) -> Any:
    """The set, once so many nodes run an updated pod, and nobody else does."""

    def holds(found: Any) -> bool:
        status = found["status"]
        names = ("currentNumberScheduled", "desiredNumberScheduled", "numberReady",
                 "numberAvailable", "updatedNumberScheduled")  # fmt: skip
        return bool(
            all(status.get(name, 0) == count for name in names)
            and not status["numberMisscheduled"]
            and status.get("observedGeneration") == found["metadata"]["generation"]
        )

    return await space.wait(PATH, holds)


async def pods(space: Space) -> dict[str, Any]:
    """By node."""
    found = (await space.ask("GET", "pods?labelSelector=app=ds"))["items"]
    return {p["spec"].get("nodeName", ""): p for p in found}


def uids(found: dict[str, Any]) -> dict[str, str]:
    return {node: pod["metadata"]["uid"] for node, pod in found.items()}


async def test_a_simple_daemon_runs_and_comes_back(live: Space) -> None:
    await create(live)
    await running(live, NODES)
    before = await pods(live)
    assert len(before) == NODES
    name = next(iter(before.values()))["metadata"]["name"]
    await live.ask("DELETE", f"pods/{name}")
    await live.wait(f"pods/{name}", lambda pod: pod is None)
    await running(live, NODES)
    await live.delete(PATH, "Background")
    await live.wait("pods", lambda found: not found["items"])


async def test_a_complex_daemon_follows_labels(live: Space) -> None:
    color = f"color-{live.name}"
    await create(live, pods={"nodeSelector": {color: "blue"}})
    await running(live, 0)
    assert await pods(live) == {}
    await label(live, color, "blue")
    await running(live, 1)
    assert list(await pods(live)) == ["node-1"]
    await label(live, color, "green")
    await running(live, 0)
    await live.wait("pods", lambda found: not found["items"])
    patch = {"spec": {"template": {"spec": {"nodeSelector": {color: "green"}}},
                      "updateStrategy": {"type": "RollingUpdate"}}}  # fmt: skip
    await live.ask("PATCH", PATH, patch, headers=STRATEGIC)
    await running(live, 1)
    assert list(await pods(live)) == ["node-1"]
    await label(live, color, None)


async def label(space: Space, key: str, value: str | None) -> None:
    patch = {"metadata": {"labels": {key: value}}}
    await space.ask("PATCH", "/api/v1/nodes/node-1", patch, headers=MERGE)


async def test_failed_daemon_pods_are_replaced(live: Space) -> None:
    await create(live)
    await running(live, NODES)
    victim = (await pods(live))["node-0"]
    name = victim["metadata"]["name"]
    await live.patch(f"pods/{name}/status", {"status": {"phase": "Failed"}})
    await live.wait(f"pods/{name}", lambda pod: pod is None)
    await live.wait("pods", lambda found: sum(map(is_ready, found["items"])) == NODES)
    await running(live, NODES)
    assert uids(await pods(live))["node-0"] != victim["metadata"]["uid"]
    events = (await live.ask("GET", "events"))["items"]
    told = [e["message"] for e in events if e["reason"] == "FailedDaemonPod"]
    text = f"Found failed daemon pod {live.name}/{name} on node node-0, will try to kill it"
    assert told == [text]


async def test_an_update_replaces_pods(live: Space) -> None:
    await create(live, updateStrategy={"type": "RollingUpdate"})
    await running(live, NODES)
    await set_image(live, "two:2")
    await running(live, NODES)
    found = await pods(live)
    assert {p["spec"]["containers"][0]["image"] for p in found.values()} == {"two:2"}
    revisions = (await live.ask("GET", "apps/v1 controllerrevisions"))["items"]
    hashes = {r["revision"]: r["metadata"]["labels"]["controller-revision-hash"] for r in revisions}
    assert {p["metadata"]["labels"]["controller-revision-hash"] for p in found.values()} == {
        hashes[2]
    }
    assert sorted(hashes) == [1, 2]


async def set_image(space: Space, image: str, **annotations: str | None) -> None:
    wanted = {
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }
    await space.ask("PATCH", PATH, {"spec": {"template": wanted}}, headers=STRATEGIC)


async def test_a_rollback_restarts_nothing_in_vain(live: Space) -> None:
    await create(live, updateStrategy={"type": "RollingUpdate"})
    await running(live, NODES)
    before = uids(await pods(live))
    pulls = "sim.sagong.dev/pull-failures"
    await set_image(live, "foo:non-existent", **{pulls: "1000"})

    def stuck(found: Any) -> bool:
        status = found["status"]
        return bool(
            status.get("updatedNumberScheduled") == 1 and status.get("numberUnavailable") == 1
        )

    await live.wait(PATH, stuck)
    broken = [n for n, p in (await pods(live)).items() if p["metadata"]["uid"] != before[n]]
    assert len(broken) == 1
    await set_image(live, "sagong.local/busybox:1", **{pulls: None})
    await running(live, NODES)
    after = await pods(live)
    assert [n for n, uid in uids(after).items() if uid != before[n]] == broken
    assert {p["spec"]["containers"][0]["image"] for p in after.values()} == {
        "sagong.local/busybox:1"
    }


async def test_revisions_may_be_made_and_removed_by_hand(live: Space) -> None:
    """Beside the controller that numbers them."""
    await create(live, updateStrategy={"type": "RollingUpdate"})
    await running(live, NODES)
    path = "apps/v1 controllerrevisions"
    [first] = (await live.ask("GET", path))["items"]
    name = first["metadata"]["name"]
    labels = {"metadata": {"labels": {name: "patched"}}}
    patched = await live.patch(f"{path}/{name}", labels)
    assert patched["metadata"]["labels"][name] == "patched"
    metadata = {
        "name": "ds-by-hand",
        "labels": {"app": "ds", "controller-revision-hash": "by-hand"},
        "ownerReferences": first["metadata"]["ownerReferences"],
    }
    await live.ask(
        "POST",
        path,
        {"metadata": metadata, "data": first["data"], "revision": first["revision"] + 1},
    )
    assert sorted(await live.names(path)) == sorted(["ds-by-hand", name])
    await live.ask("DELETE", f"{path}/{name}")
    assert await live.names(path) == ["ds-by-hand"]
    updated = {"ds-by-hand": "updated"}
    await live.change(f"{path}/ds-by-hand", lambda r: r["metadata"]["labels"].update(updated))
    spec = {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}
    await live.ask("PATCH", PATH, {"spec": spec}, headers=STRATEGIC)
    await live.wait(path, lambda found: len(found["items"]) == 2)
    await live.ask("DELETE", f"{path}?labelSelector=ds-by-hand=updated")
    [last] = (await live.ask("GET", path))["items"]
    assert last["revision"] == 3
    await running(live, NODES)
    found = await pods(live)
    hashes = {p["metadata"]["labels"]["controller-revision-hash"] for p in found.values()}
    assert hashes == {last["metadata"]["labels"]["controller-revision-hash"]}
