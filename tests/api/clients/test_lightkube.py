"""lightkube: typed objects over httpx."""

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import PatchType
from tests.api.clients.manifests import LABELS, deployment

from sagong.testing.cluster import TestCluster


@pytest.fixture
def client(kubernetes_cluster: TestCluster) -> Client:
    config = KubeConfig.from_file(str(kubernetes_cluster.kubeconfig))
    return Client(config=config, field_manager="lightkube")


def test_objects_are_made_changed_and_deleted(client: Client, kubernetes_namespace: str) -> None:
    metadata = ObjectMeta(name="c", namespace=kubernetes_namespace)
    made = client.create(ConfigMap(metadata=metadata, data={"a": "1"}))
    made.data["b"] = "2"
    assert client.replace(made).data == {"a": "1", "b": "2"}
    patch = {"data": {"a": None}}
    patched = client.patch(
        ConfigMap, "c", patch, namespace=kubernetes_namespace, patch_type=PatchType.MERGE
    )
    assert patched.data == {"b": "2"}
    with pytest.raises(ApiError) as stale:
        client.replace(made)
    assert (stale.value.status.code, stale.value.status.reason) == (409, "Conflict")
    client.delete(ConfigMap, "c", namespace=kubernetes_namespace)
    with pytest.raises(ApiError) as gone:
        client.get(ConfigMap, "c", namespace=kubernetes_namespace)
    assert gone.value.status.reason == "NotFound"


def test_a_deployment_is_applied_watched_and_scaled(
    client: Client, kubernetes_namespace: str
) -> None:
    space = kubernetes_namespace
    client.apply(Deployment.from_dict(deployment("web", space)))
    client.wait(Deployment, "web", namespace=space, for_conditions=["Available"])
    pods = list(client.list(Pod, namespace=space, labels=LABELS))
    assert [pod.status.phase for pod in pods] == ["Running", "Running"]
    scale = client.get(Deployment.Scale, "web", namespace=space)
    scale.spec.replicas = 3
    assert client.replace(scale, name="web").spec.replicas == 3
    for _, seen in client.watch(Deployment, namespace=space):
        if seen.status is not None and seen.status.readyReplicas == 3:
            break


def test_what_is_not_typed(client: Client, kubernetes_namespace: str) -> None:
    lease = create_namespaced_resource("coordination.k8s.io", "v1", "Lease", "leases")
    obj = lease(
        metadata=ObjectMeta(name="l", namespace=kubernetes_namespace),
        spec={"holderIdentity": "me"},
    )
    assert client.create(obj).spec["holderIdentity"] == "me"
