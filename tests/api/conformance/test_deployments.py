"""Deployments as conformance tries them: over HTTPS, with all controllers and pretended nodes."""

from typing import Any

import pytest
from spaces import MERGE, Space, condition, template, wait_deleted

pytestmark = pytest.mark.asyncio(loop_scope="module")
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
PATH = "apps/v1 deployments/try"
SETS = "apps/v1 replicasets"
NOT_THERE = {"sim.sagong.dev/pull-failures": "1000"}


def spec(replicas: int, image: str = "one:1", **more: Any) -> Any:
    made = template(name="try")
    made["spec"]["containers"][0]["image"] = image
    return {"replicas": replicas, "selector": {"matchLabels": {"name": "try"}},
            "template": made} | more  # fmt: skip


async def complete(space: Space) -> Any:
    def holds(found: Any) -> bool:
        status, wanted = found["status"], found["spec"]["replicas"]
        counts = ("updatedReplicas", "replicas", "availableReplicas")
        return all(status.get(c, 0) == wanted for c in counts) and bool(
            status["observedGeneration"] >= found["metadata"]["generation"]
        )

    return await space.wait(PATH, holds)


def image_of(obj: Any) -> str:
    pod = obj["spec"].get("template") or obj
    return str(pod["spec"]["containers"][0]["image"])


async def sizes(space: Space) -> dict[str, int]:
    """How many pods each image's set is to have."""
    found = (await space.ask("GET", SETS))["items"]
    return {image_of(rs): rs["spec"]["replicas"] for rs in found}


async def adopted_set(space: Space, replicas: int, image: str = "zero:0") -> None:
    await space.create(
        SETS, "try-controller", metadata={"labels": {"name": "try"}}, spec=spec(replicas, image)
    )
    await space.wait(
        f"{SETS}/try-controller",
        lambda rs: rs["status"].get("availableReplicas", 0) == replicas,
    )


async def test_old_sets_are_cleaned_up(live: Space) -> None:
    await adopted_set(live, 1)
    async with live.watching("pods?labelSelector=name=try") as events:
        await live.create("apps/v1 deployments", "try", spec=spec(1, revisionHistoryLimit=0))
        await complete(live)
        await live.wait(SETS, lambda found: len(found["items"]) == 1)
    assert await sizes(live) == {"one:1": 1}
    added = [e["object"] for e in events if e["type"] == "ADDED"]
    assert sorted(map(image_of, added)) == ["one:1", "zero:0"]


async def test_a_rollout_is_rolled_over(live: Space) -> None:
    await adopted_set(live, 1)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    first = spec(1, "not-there:1", strategy=strategy, minReadySeconds=1)
    first["template"]["metadata"]["annotations"] = NOT_THERE
    await live.create("apps/v1 deployments", "try", spec=first)
    listing = "pods?labelSelector=name=try"
    pods = await live.wait(listing, lambda found: len(found["items"]) == 2)
    assert {image_of(p) for p in pods["items"]} == {"zero:0", "not-there:1"}
    stuck = await live.wait(PATH, lambda found: found["status"].get("updatedReplicas") == 1)
    assert condition(stuck, "Progressing")["reason"] == "ReplicaSetUpdated"
    third = {"spec": {"containers": [{"name": "c", "image": "one:1"}]},
             "metadata": {"annotations": {"sim.sagong.dev/pull-failures": None}}}  # fmt: skip
    await live.ask("PATCH", PATH, {"spec": {"template": third}}, headers=STRATEGIC)
    found = await complete(live)
    assert await sizes(live) == {"zero:0": 0, "not-there:1": 0, "one:1": 1}
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    for rs in (await live.ask("GET", SETS))["items"]:
        assert rs["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]


async def test_the_life_of_a_deployment(live: Space) -> None:
    label = {"labels": {"test-deployment-static": "true"}}
    async with live.watching("apps/v1 deployments?labelSelector=test-deployment-static") as events:
        await live.create("apps/v1 deployments", "try", metadata=label, spec=spec(2))
        await complete(live)
        patch = {
            "metadata": {"labels": {"test-deployment": "patched"}},
            "spec": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 0}}},
        }
        patched = await live.ask("PATCH", PATH, patch, headers=STRATEGIC)
        assert patched["metadata"]["labels"]["test-deployment"] == "patched"
        assert (await complete(live))["status"]["readyReplicas"] == 3
        everywhere = "/apis/apps/v1/deployments?labelSelector=test-deployment-static=true"
        assert len((await live.ask("GET", everywhere))["items"]) == 1
        await _change(live)
        await _change_status(live)
        await live.ask("DELETE", "apps/v1 deployments?labelSelector=test-deployment-static=true")
        await live.wait(PATH, lambda found: found is None)
        await live.wait("pods", lambda found: not found["items"])
        await wait_deleted(events)
    assert (events[0]["type"], events[-1]["type"]) == ("ADDED", "DELETED")


async def _change(space: Space) -> None:

    def update(found: Any) -> None:
        found["metadata"]["labels"]["test-deployment"] = "updated"
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "two:2"

    await space.change(PATH, update)
    assert image_of(await complete(space)) == "two:2"
    await space.patch(f"{PATH}/scale", {"spec": {"replicas": 1}})
    assert (await complete(space))["status"]["replicas"] == 1


async def _change_status(space: Space) -> None:
    none = {"status": {"readyReplicas": 0, "availableReplicas": 0}}
    answer = await space.ask("PATCH", f"{PATH}/status", none, headers=MERGE)
    assert not answer["status"].get("readyReplicas")
    # What is not true does not last.
    await space.wait(PATH, lambda found: found["status"].get("readyReplicas") == 1)
    for path in (PATH, f"{PATH}/status"):
        found = await space.get(path)
        assert condition(found, "Available")["reason"] == "MinimumReplicasAvailable"
        assert condition(found, "Progressing")["reason"] == "NewReplicaSetAvailable"


async def test_proportional_scaling(live: Space) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2, "maxSurge": 3}}
    await live.create("apps/v1 deployments", "try", spec=spec(10, strategy=strategy))
    await complete(live)
    broken = {"spec": {"containers": [{"name": "c", "image": "not-there:1"}]},
              "metadata": {"annotations": NOT_THERE}}  # fmt: skip
    await live.ask("PATCH", PATH, {"spec": {"template": broken}}, headers=STRATEGIC)

    def stuck(found: Any) -> bool:
        return sorted(rs["spec"]["replicas"] for rs in found["items"]) == [5, 8]

    await live.wait(SETS, stuck)
    await live.wait(PATH, lambda found: found["status"].get("availableReplicas") == 8)
    await live.patch(f"{PATH}/scale", {"spec": {"replicas": 30}})
    await live.wait(SETS, lambda found: sum(rs["spec"]["replicas"] for rs in found["items"]) == 33)
    assert await sizes(live) == {"one:1": 20, "not-there:1": 13}


@pytest.mark.parametrize("kind", ["Recreate", "RollingUpdate"])
async def test_a_set_that_was_there_is_replaced(live: Space, kind: str) -> None:
    """Adopted by the Deployment, its pods go and new ones come."""
    await adopted_set(live, 1)
    async with live.watching("pods?labelSelector=name=try") as events:
        await live.create("apps/v1 deployments", "try", spec=spec(1, strategy={"type": kind}))
        await complete(live)
        await live.wait("pods", lambda found: [image_of(p) for p in found["items"]] == ["one:1"])
    assert await sizes(live) == {"zero:0": 0, "one:1": 1}
    if kind == "Recreate":
        _check_never_together(events)


def _check_never_together(events: list[Any]) -> None:
    """No pod of one template runs while one of another does."""
    running: dict[str, str] = {}
    for event in events:
        pod = event["object"]
        uid = pod["metadata"]["uid"]
        if event["type"] == "DELETED" or pod["status"]["phase"] != "Running":
            running.pop(uid, None)
        else:
            running[uid] = image_of(pod)
        assert len(set(running.values())) <= 1


async def test_the_scale_subresource_works(live: Space) -> None:
    await live.create("apps/v1 deployments", "try", spec=spec(1))
    await complete(live)
    scale = await live.ask("GET", f"{PATH}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (1, "name=try")
    scale["metadata"].pop("resourceVersion")
    scale["spec"]["replicas"] = 2
    assert (await live.ask("PUT", f"{PATH}/scale", scale))["spec"]["replicas"] == 2
    assert (await complete(live))["spec"]["replicas"] == 2
    patched = await live.patch(f"{PATH}/scale", {"spec": {"replicas": 4}})
    assert patched["spec"]["replicas"] == 4
    assert (await complete(live))["status"]["replicas"] == 4


async def test_queues_are_measured(live: Space) -> None:
    """Under upstream's names, one queue a controller."""
    await live.create("apps/v1 deployments", "try", spec=spec(1))
    await complete(live)
    answer = await live.api.call("GET", "/metrics")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line[:1] != "#")
    for controller in ("deployment", "replicaset", "garbage-collector"):
        label = f'{{name="{controller}"}}'
        assert float(lines["workqueue_adds_total" + label]) > 0
        assert float(lines["workqueue_work_duration_seconds_count" + label]) > 0
        for name in (
            "workqueue_depth",
            "workqueue_retries_total",
            "workqueue_unfinished_work_seconds",
            "workqueue_longest_running_processor_seconds",
        ):
            assert name + label in lines
