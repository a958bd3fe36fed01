"""Create, read, update and delete, with their refusals."""

import asyncio

import pytest
from rest import CONFIG_MAPS, Api, config_map, pod

from sagong.api import errors
from sagong.client.client import Client


async def test_an_object_lives(api: Api) -> None:
    made = await api.call("POST", CONFIG_MAPS, config_map("a", x="1"))
    assert made.status == 201
    metadata = made.body["metadata"]
    assert {"uid", "resourceVersion", "creationTimestamp"} <= set(metadata)

    again = await api.call("POST", CONFIG_MAPS, config_map("a"))
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists")
    assert again.body["message"] == 'configmaps "a" already exists'

    read = await api.call("GET", CONFIG_MAPS + "/a")
    assert read.body == made.body

    gone = await api.call("DELETE", CONFIG_MAPS + "/a")
    assert gone.body["status"] == "Success"
    assert gone.body["details"] == {"name": "a", "kind": "configmaps", "uid": metadata["uid"]}
    missing = await api.call("GET", CONFIG_MAPS + "/a")
    assert missing.body["message"] == 'configmaps "a" not found'


async def test_updates_are_optimistic(client: Client) -> None:
    made = await client.create("configmaps", config_map("a", x="1"), namespace="default")
    second = await client.update("configmaps", {**made, "data": {"x": "2"}})
    assert second["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]

    with pytest.raises(errors.Conflict, match="the object has been modified"):
        await client.update("configmaps", {**made, "data": {"x": "3"}})

    unchanged = await client.update("configmaps", second)
    assert unchanged == second  # nothing differs: nothing is written


async def test_two_writers_lose_nothing(client: Client) -> None:
    await client.create("configmaps", config_map("a"), namespace="default")

    async def add(i: int) -> None:
        await client.patch("configmaps", "a", {"data": {f"k{i}": "v"}}, namespace="default")

    await asyncio.gather(*(add(i) for i in range(4)))
    found = await client.get("configmaps", "a", namespace="default")
    assert set(found["data"]) == {f"k{i}" for i in range(4)}


async def test_dry_run_leaves_no_trace(api: Api) -> None:
    made = await api.call("POST", CONFIG_MAPS + "?dryRun=All", config_map("a"))
    assert made.status == 201
    assert "resourceVersion" not in made.body["metadata"]
    assert (await api.call("GET", CONFIG_MAPS + "/a")).status == 404


async def test_names_are_generated(client: Client) -> None:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}}
    names = set()
    for _ in range(3):
        made = await client.create("configmaps", obj, namespace="default")
        names.add(made["metadata"]["name"])
    assert len(names) == 3
    assert all(name.startswith("x-") and len(name) == 7 for name in names)


@pytest.mark.parametrize(
    ("validation", "status", "told"),
    [("Strict", 400, False), ("Warn", 201, True), ("Ignore", 201, False), ("", 201, True)],
)
async def test_unknown_fields(api: Api, validation: str, status: int, told: bool) -> None:
    body = {**config_map("a"), "dta": {}}
    answer = await api.call("POST", f"{CONFIG_MAPS}?fieldValidation={validation}", body)
    assert answer.status == status
    assert ("Warning" in answer.headers) == told
    if told:
        assert answer.headers["Warning"] == '299 - "unknown field \\"dta\\""'


async def test_status_has_its_own_door(client: Client) -> None:
    made = await client.create(
        "pods", {**pod("a"), "status": {"phase": "Running"}}, namespace="default"
    )
    assert made["status"]["phase"] == "Pending"
    running = {**made, "status": {**made["status"], "phase": "Running"}}
    ignored = await client.update("pods", running)
    assert ignored["status"]["phase"] == "Pending"
    changed = await client.update("pods", running, subresource="status")
    assert changed["status"]["phase"] == "Running"


async def test_a_scheduled_pod_is_deleted_by_its_node(client: Client) -> None:
    await client.create("pods", pod("a"), namespace="default")
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    await client.create("pods", binding, namespace="default", name="a", subresource="binding")
    with pytest.raises(errors.Conflict, match='already assigned to node "n"'):
        await client.create("pods", binding, namespace="default", name="a", subresource="binding")

    dying = await client.delete("pods", "a", namespace="default")
    assert dying["metadata"]["deletionGracePeriodSeconds"] == 30
    assert dying["metadata"]["deletionTimestamp"]
    sooner = await client.delete("pods", "a", namespace="default", grace_period_seconds=5)
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5

    await client.delete("pods", "a", namespace="default", grace_period_seconds=0)
    with pytest.raises(errors.NotFound):
        await client.get("pods", "a", namespace="default")


async def test_finalizers_hold_an_object(client: Client) -> None:
    obj = config_map("a")
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create("configmaps", obj, namespace="default")
    held = await client.delete("configmaps", "a", namespace="default")
    assert held["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": None}}
    await client.patch("configmaps", "a", patch, namespace="default")
    with pytest.raises(errors.NotFound):
        await client.get("configmaps", "a", namespace="default")


async def test_a_namespace_ends_when_it_is_finalized(client: Client) -> None:
    obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    await client.create("namespaces", obj)
    dying = await client.delete("namespaces", "n")
    assert dying["status"]["phase"] == "Terminating"
    with pytest.raises(errors.Forbidden, match="being terminated"):
        await client.create("configmaps", config_map("a"), namespace="n")
    await client.update("namespaces", {**dying, "spec": {}}, subresource="finalize")
    with pytest.raises(errors.NotFound):
        await client.get("namespaces", "n")


async def test_a_service_gets_an_address_and_gives_it_back(client: Client) -> None:
    spec = {"ports": [{"port": 80}], "selector": {"a": "b"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}
    made = await client.create("services", service, namespace="default")
    address = made["spec"]["clusterIP"]
    assert address.startswith("10.96.")
    assert await client.get("ipaddresses.networking.k8s.io", address)
    await client.delete("services", "s", namespace="default")
    with pytest.raises(errors.NotFound):
        await client.get("ipaddresses.networking.k8s.io", address)


async def test_scale(client: Client) -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    await client.create("deployments.apps", deployment, namespace="default")
    scale = await client.get("deployments.apps", "d", namespace="default", subresource="scale")
    assert (scale["spec"], scale["status"]["selector"]) == ({"replicas": 1}, "a=b")
    await client.patch(
        "deployments.apps", "d", {"spec": {"replicas": 3}}, namespace="default", subresource="scale"
    )
    found = await client.get("deployments.apps", "d", namespace="default")
    assert found["spec"]["replicas"] == 3
    assert found["metadata"]["generation"] == 2


async def test_evictions_respect_budgets(client: Client) -> None:
    labels = {"metadata": {"labels": {"a": "b"}}}
    for name in ("a", "b"):
        obj = pod(name, nodeName="n")
        obj["metadata"]["labels"] = {"a": "b"}
        made = await client.create("pods", obj, namespace="default")
        ready = [{"type": "Ready", "status": "True"}]
        status = {**made["status"], "phase": "Running", "conditions": ready}
        await client.update("pods", {**made, "status": status}, subresource="status")
    selector = {"matchLabels": labels["metadata"]["labels"]}
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "p"},
        "spec": {"minAvailable": 1, "selector": selector},
    }
    budgets = "poddisruptionbudgets.policy"
    made = await client.create(budgets, budget, namespace="default")
    counted = {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "desiredHealthy": 1,
        "currentHealthy": 2,
        "expectedPods": 2,
    }
    await client.update(budgets, {**made, "status": counted}, subresource="status")

    async def evict(name: str) -> None:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        await client.create(
            "pods", eviction, namespace="default", name=name, subresource="eviction"
        )

    await evict("a")
    with pytest.raises(errors.TooManyRequests, match="Cannot evict pod") as refused:
        await evict("b")
    assert refused.value.causes[0]["reason"] == "DisruptionBudget"
