"""What pods ask for in all, and what objects use of quotas."""

from sagong.api.types import Obj
from sagong.api.usage import limited_by, pod_limits, pod_requests, usage_of


def container(name: str, cpu: str, **fields: str) -> Obj:
    return {"name": name, "resources": {"requests": {"cpu": cpu}}, **fields}


def test_init_containers_count_by_the_greatest_and_sidecars_beside_them() -> None:
    spec = {
        "initContainers": [
            container("first", "700m"),
            container("sidecar", "200m", restartPolicy="Always"),
            container("second", "600m"),
        ],
        "containers": [container("a", "300m"), container("b", "100m")],
        "overhead": {"cpu": "10m"},
    }
    # Running: 300 + 100 + the sidecar's 200; starting: 600 beside the sidecar, which is more.
    assert str(pod_requests({"spec": spec})["cpu"]) == "810m"
    assert pod_limits({"spec": spec}) == {}


def test_what_a_pod_states_for_itself_counts_instead_of_the_sum() -> None:
    spec = {"containers": [container("a", "3")], "resources": {"requests": {"cpu": "1"}}}
    assert str(pod_requests({"spec": spec})["cpu"]) == "1"


def test_finished_pods_use_nothing_but_their_count() -> None:
    pod: Obj = {"spec": {"containers": [container("a", "1")]}, "status": {"phase": "Succeeded"}}
    assert set(usage_of("pods", pod)) == {"count/pods"}


def test_claims_count_for_their_class_too() -> None:
    claim: Obj = {
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}
    }
    usage = {
        name: str(amount) for name, amount in usage_of("persistentvolumeclaims", claim).items()
    }
    assert usage == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "2Gi",
        "fast.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
        "fast.storageclass.storage.k8s.io/requests.storage": "2Gi",
    }


def test_quotas_name_what_they_limit() -> None:
    names = ["pods", "requests.nvidia.com/gpu", "secrets", "count/deployments.apps", "services"]
    assert limited_by("pods", names) == {"pods", "requests.nvidia.com/gpu"}
    assert limited_by("deployments.apps", names) == {"count/deployments.apps"}
    assert limited_by("secrets", names) == {"secrets"}
