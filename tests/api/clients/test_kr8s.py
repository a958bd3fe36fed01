"""kr8s: kubectl-like objects, asynchronous."""

import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod, new_class
from tests.api.clients.manifests import LABELS, definition, deployment

from sagong.testing.cluster import TestCluster


@pytest.fixture
async def api(kubernetes_cluster: TestCluster) -> "kr8s.asyncio.Api":
    return await kr8s.asyncio.api(kubeconfig=str(kubernetes_cluster.kubeconfig))


async def test_objects_are_made_changed_and_deleted(
    api: "kr8s.asyncio.Api", kubernetes_namespace: str
) -> None:
    metadata = {"name": "c", "namespace": kubernetes_namespace}
    config = await ConfigMap({"metadata": metadata, "data": {"a": "1"}}, api=api)
    await config.create()
    await config.patch({"data": {"b": "2"}})
    await config.label(tier="front")
    await config.refresh()
    assert (config.raw["data"], config.labels["tier"]) == ({"a": "1", "b": "2"}, "front")
    await config.delete()
    assert not await config.exists()


async def test_a_deployment_becomes_ready_and_scales(
    api: "kr8s.asyncio.Api", kubernetes_namespace: str
) -> None:
    space = kubernetes_namespace
    web = await Deployment(deployment("web", space), api=api)
    await web.create()
    await web.wait("condition=Available", timeout=20)
    await web.scale(3)
    pods = [pod async for pod in Pod.list(namespace=space, label_selector=LABELS, api=api)]
    assert len(pods) == 3
    await pods[0].wait("condition=Ready", timeout=20)


async def test_custom_resources_are_found_by_discovery(
    api: "kr8s.asyncio.Api", kubernetes_cluster: TestCluster, kubernetes_namespace: str
) -> None:
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    kubernetes_cluster.request("POST", crds, definition("kr8sthings", "Kr8sThing"))
    path = f"/apis/example.com/v1/namespaces/{kubernetes_namespace}/kr8sthings"
    kubernetes_cluster.wait(lambda: kubernetes_cluster.request("GET", path))
    thing_class = new_class("Kr8sThing", "example.com/v1", asyncio=True, plural="kr8sthings")
    metadata = {"name": "t", "namespace": kubernetes_namespace}
    thing = await thing_class({"metadata": metadata, "spec": {"size": 3}}, api=api)
    await thing.create()
    assert [t.name async for t in thing_class.list(namespace=kubernetes_namespace, api=api)] == [
        "t"
    ]
