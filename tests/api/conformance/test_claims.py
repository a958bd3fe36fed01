"""Claims of storage and of devices, with their controllers; the test plays the drivers' parts."""

from typing import Any

import pytest
from spaces import MERGE, Space, pod_spec

from sagong.api.local_volumes import PROVISIONER

pytestmark = pytest.mark.asyncio(loop_scope="module")
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
UNIQUE = "kubernetes.io/csi/csi.example.com^{}"


async def volume(space: Space, name: str, source: Any, **metadata: Any) -> None:
    """A volume, and a claim of the same name that is bound to it."""
    reference = {"namespace": space.name, "name": name}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "grows",
        "claimRef": reference,
        **source,
    }
    path = "/api/v1/persistentvolumes"
    await space.ask("POST", path, {"metadata": {"name": f"{space.name}-{name}"} | metadata,
                                   "spec": spec})  # fmt: skip
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "grows",
        "volumeName": f"{space.name}-{name}",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    await space.create("persistentvolumeclaims", name, spec=claim)
    await space.wait(
        f"persistentvolumeclaims/{name}", lambda c: c["status"].get("phase") == "Bound"
    )


def mounting(claim: str, **fields: Any) -> Any:
    source = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    return pod_spec(volumes=[source], **fields)


async def attachment(space: Space, count: int = 1) -> Any:
    """The attachments of this space's volume, once there are so many."""

    def mine(found: Any) -> list[Any]:
        name = f"{space.name}-data"
        return [a for a in found["items"] if a["spec"]["source"]["persistentVolumeName"] == name]

    found = await space.wait(ATTACHMENTS, lambda found: len(mine(found)) == count)
    return mine(found)


def attached(node: Any) -> list[str]:
    return [v["name"] for v in node["status"].get("volumesAttached") or ()]


async def test_volumes_are_attached_and_detached(live: Space) -> None:
    handle = f"disk-{live.name}"
    await volume(live, "data", {"csi": {"driver": "csi.example.com", "volumeHandle": handle}})
    await live.create("pods", "first", spec=mounting("data", nodeName="node-0"))
    made = (await attachment(live))[0]
    assert (made["spec"]["attacher"], made["spec"]["nodeName"]) == ("csi.example.com", "node-0")
    # The driver attaches it, the node may mount it.
    path, node = f"{ATTACHMENTS}/{made['metadata']['name']}", "/api/v1/nodes/node-0"
    await live.ask("PATCH", f"{path}/status", {"status": {"attached": True}}, headers=MERGE)
    await live.wait(node, lambda node: attached(node) == [UNIQUE.format(handle)])
    use = {"status": {"volumesInUse": [UNIQUE.format(handle)]}}
    await live.ask("PATCH", f"{node}/status", use, headers=MERGE)
    # Another node must wait for it.
    await live.create("pods", "second", spec=mounting("data", nodeName="node-1"))
    await live.wait("events", lambda found: _told(found, "second", "FailedAttachVolume"))
    await live.ask("DELETE", "pods/first")
    await live.wait("pods/first", lambda pod: pod is None)
    assert (await live.get(path))["metadata"].get("deletionTimestamp") is None
    # Unmounted: now it may go, and the other node gets it.
    unused = {"status": {"volumesInUse": None}}
    await live.ask("PATCH", f"{node}/status", unused, headers=MERGE)
    await live.wait(path, lambda found: found is None)
    assert attached(await live.get(node)) == []
    again = (await attachment(live))[0]
    assert again["spec"]["nodeName"] == "node-1"
    assert _told(await live.get("events"), "first", "SuccessfulAttachVolume")
    await live.ask("DELETE", "pods/second")
    await attachment(live, 0)


def _told(events: Any, name: str, reason: str) -> bool:
    return any(
        e["involvedObject"]["name"] == name and e["reason"] == reason for e in events["items"]
    )


async def test_a_claim_grows(live: Space) -> None:
    grows = {"metadata": {"name": "grows"}, "provisioner": PROVISIONER,
             "allowVolumeExpansion": True}  # fmt: skip
    await live.ask("POST", "/apis/storage.k8s.io/v1/storageclasses", grows)
    ours = {"pv.kubernetes.io/provisioned-by": PROVISIONER}
    await volume(live, "data", {"hostPath": {"path": "/tmp/x"}}, annotations=ours)
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    path = "persistentvolumeclaims/data"
    await live.patch(path, larger)
    found = await live.wait(path, lambda c: c["status"]["capacity"]["storage"] == "2Gi")
    assert not found["status"].get("conditions")
    pv = await live.get(f"/api/v1/persistentvolumes/{live.name}-data")
    assert pv["spec"]["capacity"]["storage"] == "2Gi"
    csi = {"csi": {"driver": "csi.example.com", "volumeHandle": f"grows-{live.name}"}}
    await volume(live, "other", csi)
    await live.patch("persistentvolumeclaims/other", larger)
    await live.wait("events", lambda found: _told(found, "other", "ExternalExpanding"))


async def test_device_claims_are_made_and_released(live: Space) -> None:
    group = "resource.k8s.io/v1"
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}
    spec = {
        "metadata": {"labels": {"from": "template"}},
        "spec": {"devices": {"requests": [request]}},
    }
    await live.create(f"{group} resourceclaimtemplates", "gpu", spec=spec)
    await live.create(f"{group} resourceclaims", "shared", spec=spec["spec"])
    entries = [
        {"name": "own", "resourceClaimTemplateName": "gpu"},
        {"name": "common", "resourceClaimName": "shared"},
    ]
    containers = [{"name": "c", "image": "i", "resources": {"claims": [{"name": "own"}]}}]
    fields = {"containers": containers, "resourceClaims": entries, "nodeName": "node-0"}
    await live.create("pods", "user", spec=fields)
    pod = await live.wait("pods/user", lambda pod: pod["status"].get("resourceClaimStatuses"))
    [told] = pod["status"]["resourceClaimStatuses"]
    assert told["name"] == "own"
    path = f"{group} resourceclaims/{told['resourceClaimName']}"
    made = await live.get(path)
    assert made["metadata"]["name"].startswith("user-own-")
    assert made["metadata"]["labels"] == {"from": "template"}
    assert made["metadata"]["annotations"]["resource.kubernetes.io/pod-claim-name"] == "own"
    # The pod came past the scheduler: once a claim is allocated it is reserved for it.
    shared = f"{group} resourceclaims/shared"
    for claim in (path, shared):
        await live.patch(claim, {"metadata": {"finalizers": [PROTECTION]}})
        await live.patch(f"{claim}/status", {"status": {"allocation": {"devices": {}}}})
        await live.wait(claim, lambda c: bool(c["status"].get("reservedFor")))
    await live.ask("DELETE", "pods/user")
    await live.wait("pods/user", lambda pod: pod is None)
    freed = await live.wait(shared, lambda c: not c["status"].get("reservedFor"))
    assert not freed["status"].get("allocation")
    assert not freed["metadata"].get("finalizers")
    await live.wait(path, lambda claim: claim is None)


PROTECTION = "resource.kubernetes.io/delete-protection"


async def test_a_missing_template_is_told_of(live: Space) -> None:
    entries = [{"name": "own", "resourceClaimTemplateName": "later"}]
    await live.create("pods", "waits", spec=pod_spec(resourceClaims=entries))
    await live.wait("events", lambda found: _told(found, "waits", "FailedResourceClaimCreation"))
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com"}}
    spec = {"spec": {"devices": {"requests": [request]}}}
    await live.create("resource.k8s.io/v1 resourceclaimtemplates", "later", spec=spec)
    await live.wait("pods/waits", lambda pod: bool(pod["status"].get("resourceClaimStatuses")))
