"""Volumes through the API: claims and volumes from birth to end, inline CSI volumes of pods."""

import copy
from typing import Any

import pytest
from rest import Api
from spaces import MERGE, Space, pod_spec

pytestmark = pytest.mark.asyncio(loop_scope="module")
SUITE = "?labelSelector=suite="


def _claim(labels: dict[str, str], volume: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": f"class-{labels['suite']}",
        "resources": {"requests": {"storage": "2Gi"}},
    }
    return {
        "metadata": {"name": "claim", "labels": labels},
        "spec": spec | ({"volumeName": volume} if volume else {}),
    }


def _volume(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": f"class-{labels['suite']}",
            "csi": {"driver": "e2e.example.com", "volumeHandle": name},
        },
    }


def _labelled(obj: Any) -> Any:
    changed = copy.deepcopy(obj)
    changed["metadata"]["labels"]["more"] = "updated"
    return changed


async def test_the_life_of_a_claim_and_its_volume(space: Space) -> None:
    labels = {"suite": space.name}
    volumes, one = "/api/v1/persistentvolumes", f"/api/v1/persistentvolumes/{space.name}-v"
    selected = f"{SUITE}{space.name}"
    volume = await space.ask("POST", volumes, _volume(f"{space.name}-v", labels))
    claim = await space.ask("POST", "persistentvolumeclaims", _claim(labels))
    assert await space.names(volumes + selected) == [f"{space.name}-v"]
    assert await space.names("persistentvolumeclaims") == ["claim"]
    for path, made in ((one, volume), ("persistentvolumeclaims/claim", claim)):
        patched = await space.patch(path, {"metadata": {"labels": {space.name: "patched"}}})
        assert patched["metadata"]["labels"][space.name] == "patched"
        assert (await space.get(path))["metadata"]["uid"] == made["metadata"]["uid"]
    # They find each other, and let go when they are deleted, the claim first.
    bound = await space.wait(
        "persistentvolumeclaims/claim", lambda c: c["status"]["phase"] == "Bound"
    )
    assert bound["spec"]["volumeName"] == f"{space.name}-v"
    assert bound["status"]["capacity"] == {"storage": "2Gi"}
    await space.delete("persistentvolumeclaims/claim")
    await space.wait("persistentvolumeclaims/claim", lambda c: c is None)
    released = await space.wait(one, lambda v: v["status"]["phase"] == "Released")
    assert released["spec"]["claimRef"]["name"] == "claim"
    await space.delete(one)
    await space.wait(one, lambda v: v is None)
    # Replacements: updated, and deleted by label.
    await space.ask("POST", volumes, _volume(f"{space.name}-v", labels))
    await space.ask("POST", "persistentvolumeclaims", _claim(labels))
    for path in (one, "persistentvolumeclaims/claim"):
        current = await space.wait(path, lambda o: o["status"].get("phase") == "Bound")
        updated = await space.ask("PUT", path, _labelled(current))
        assert updated["metadata"]["labels"]["more"] == "updated"
    await space.ask("DELETE", "persistentvolumeclaims" + selected)
    await space.wait("persistentvolumeclaims/claim", lambda c: c is None)
    await space.ask("DELETE", volumes + selected)
    await space.wait(one, lambda v: v is None)


async def test_status_of_claims_and_volumes(space: Space) -> None:
    """Phases are there, conditions and reasons can be patched and updated by subresource."""
    labels = {"suite": space.name}
    one = f"/api/v1/persistentvolumes/{space.name}-s"
    await space.ask("POST", "/api/v1/persistentvolumes", _volume(f"{space.name}-s", labels))
    await space.ask("POST", "persistentvolumeclaims", _claim(labels))
    for path in (one, "persistentvolumeclaims/claim"):
        found = await space.wait(f"{path}/status", lambda o: o["status"].get("phase") == "Bound")
        assert found["status"]["phase"] == "Bound"
    condition = {"type": "StatusPatched", "status": "True", "reason": "E2E", "message": "set"}
    patched = await space.patch(
        "persistentvolumeclaims/claim/status", {"status": {"conditions": [condition]}}
    )
    assert condition.items() <= patched["status"]["conditions"][0].items()
    patched = await space.patch(f"{one}/status", {"status": {"message": "set", "reason": "E2E"}})
    assert (patched["status"]["message"], patched["status"]["reason"]) == ("set", "E2E")
    claim = await space.get("persistentvolumeclaims/claim")
    claim["status"]["conditions"] = [condition | {"type": "StatusUpdated"}]
    updated = await space.ask("PUT", "persistentvolumeclaims/claim/status", claim)
    assert [c["type"] for c in updated["status"]["conditions"]] == ["StatusUpdated"]
    volume = await space.get(one)
    volume["status"] |= {"reason": "Updated", "message": "again"}
    assert (await space.ask("PUT", f"{one}/status", volume))["status"]["reason"] == "Updated"
    await space.delete("persistentvolumeclaims/claim")
    await space.delete(one)


async def test_pods_with_inline_csi_volumes(space: Space, api: Api) -> None:
    source = {
        "driver": "e2e.example.com",
        "readOnly": True,
        "fsType": "ext4",
        "volumeAttributes": {"a": "b"},
        "nodePublishSecretRef": {"name": "token"},
    }
    spec = pod_spec(
        volumes=[{"name": "inline", "csi": source}],
        nodeSelector={"no": "such-node"},
    )
    spec["containers"][0]["volumeMounts"] = [{"name": "inline", "mountPath": "/v"}]
    made = await space.create("pods", "p", spec=spec, metadata={"labels": {"csi": "inline"}})
    assert made["spec"]["volumes"][0]["csi"] == source
    assert (await space.get("pods/p"))["spec"]["volumes"][0]["csi"] == source
    assert await space.names("pods?labelSelector=csi=inline") == ["p"]
    everywhere = await space.ask("GET", "/api/v1/pods?labelSelector=csi=inline")
    assert [p["metadata"]["namespace"] for p in everywhere["items"]] == [space.name]
    patched = await space.patch("pods/p", {"metadata": {"labels": {"more": "patched"}}})
    assert patched["metadata"]["labels"]["more"] == "patched"
    refused = await space.refused("PATCH", "pods/p", {"spec": {"volumes": None}}, headers=MERGE)
    assert refused["reason"] == "Invalid"
    await space.delete("pods/p")
    await space.wait("pods/p", lambda p: p is None)
    nameless = spec | {"volumes": [{"name": "inline", "csi": {"driver": ""}}]}
    refused = await space.refused("POST", "pods", {"metadata": {"name": "q"}, "spec": nameless})
    assert "spec.volumes[0].csi.driver" in refused["message"]


async def test_an_external_provisioner_is_asked(space: Space) -> None:
    """The claim names it, so that its program knows which claims are its own."""
    name = f"fast-{space.name}"
    classes = "/apis/storage.k8s.io/v1/storageclasses"
    await space.ask("POST", classes, {"metadata": {"name": name}, "provisioner": "x.example/p"})
    claim = _claim({"suite": space.name})
    claim["spec"]["storageClassName"] = name
    await space.ask("POST", "persistentvolumeclaims", claim)
    asked = await space.wait(
        "persistentvolumeclaims/claim", lambda c: c["metadata"].get("annotations")
    )
    assert asked["metadata"]["annotations"] == {
        "volume.kubernetes.io/storage-provisioner": "x.example/p",
        "volume.beta.kubernetes.io/storage-provisioner": "x.example/p",
    }
    await space.delete("persistentvolumeclaims/claim")
    await space.delete(f"{classes}/{name}")
