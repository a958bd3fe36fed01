"""kubernetes-asyncio: the official client's shape on aiohttp."""

from collections.abc import AsyncIterator

import pytest
from kubernetes_asyncio import client, config, watch
from tests.api.clients.manifests import deployment

from sagong.testing.cluster import TestCluster


@pytest.fixture
async def api(kubernetes_cluster: TestCluster) -> AsyncIterator[client.ApiClient]:
    settings = client.Configuration()
    await config.load_kube_config(str(kubernetes_cluster.kubeconfig), client_configuration=settings)
    async with client.ApiClient(settings) as made:
        yield made


async def test_a_deployment_is_watched_until_it_is_ready(
    api: client.ApiClient, kubernetes_namespace: str
) -> None:
    apps = client.AppsV1Api(api)
    body = deployment("web", kubernetes_namespace)
    await apps.create_namespaced_deployment(kubernetes_namespace, body)
    async with watch.Watch().stream(
        apps.list_namespaced_deployment, kubernetes_namespace, timeout_seconds=20
    ) as stream:
        async for event in stream:
            if event["object"].status.ready_replicas == 2:
                break
    pods = await client.CoreV1Api(api).list_namespaced_pod(kubernetes_namespace)
    assert len(pods.items) == 2
    scaled = await apps.patch_namespaced_deployment_scale(
        "web", kubernetes_namespace, {"spec": {"replicas": 1}}
    )
    assert scaled.spec.replicas == 1


async def test_failures_are_statuses(api: client.ApiClient, kubernetes_namespace: str) -> None:
    core = client.CoreV1Api(api)
    with pytest.raises(client.ApiException) as missing:
        await core.read_namespaced_pod("nope", kubernetes_namespace)
    assert missing.value.status == 404
    bad = {"metadata": {"name": "Bad_Name"}}
    with pytest.raises(client.ApiException) as invalid:
        await core.create_namespaced_config_map(kubernetes_namespace, bad)
    assert (invalid.value.status, "RFC 1123" in invalid.value.body) == (422, True)


async def test_versions_and_groups(api: client.ApiClient) -> None:
    version = await client.VersionApi(api).get_code()
    assert (version.major, version.minor) == ("1", "36")
    groups = await client.ApisApi(api).get_api_versions()
    assert "apps" in {group.name for group in groups.groups}
