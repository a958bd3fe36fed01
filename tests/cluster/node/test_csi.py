"""CSI volumes of real pods, through a driver of our own that registers as any other."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.cluster.csi_driver import NAME, CsiDriver

from sagong.api.types import Obj
from sagong.api.volumes import attachment_name
from sagong.core.clock import SystemClock
from sagong.node.agent import NodeAgent
from sagong.node.stats.exposition import Exposition
from sagong.node.stats.volumes import VolumeMeter, expose_claims, with_volumes
from sagong.node.volumes import mounts

from .conftest import FOREVER, NODE, Node, is_ready, pod, shell

CSI_NODES = "csinodes.storage.k8s.io"
HANDLE = "vol-1"


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[CsiDriver]:
    """Not serving yet."""
    made = CsiDriver(tmp_path / "drv")
    yield made
    made.detach_devices()


async def describe_driver(node: Node, **spec: Any) -> None:
    """The CSIDriver object; without attaching unless a test wants it."""
    obj = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": NAME},
        "spec": {"attachRequired": False, **spec},
    }
    await node.client.create("csidrivers.storage.k8s.io", obj)


async def make_claim(
    node: Node, name: str = "claim", *, csi: Obj | None = None, **spec: Any
) -> Obj:
    """A bound pair, as the binder leaves it."""
    resources = {"requests": {"storage": "1Gi"}}
    modes = spec.get("accessModes", ["ReadWriteOnce"])
    mode = spec.get("volumeMode", "Filesystem")
    metadata = {"name": name, "namespace": "default"}
    claim = {"accessModes": modes, "resources": resources, "storageClassName": ""}
    claim |= {"volumeName": f"pv-{name}", "volumeMode": mode}
    made = await node.client.create("persistentvolumeclaims", {"metadata": metadata, "spec": claim})
    reference = {**metadata, "kind": "PersistentVolumeClaim", "uid": made["metadata"]["uid"]}
    volume = {
        "capacity": {"storage": "1Gi"},
        "accessModes": modes,
        "claimRef": reference,
        "csi": {"driver": NAME, "volumeHandle": HANDLE, "fsType": "ext4", **(csi or {})},
        **spec,
    }
    await node.client.create(
        "persistentvolumes", {"metadata": {"name": f"pv-{name}"}, "spec": volume}
    )
    status = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": modes}
    await node.client.update(
        "persistentvolumeclaims", {**made, "status": status}, subresource="status"
    )
    return made


def claim_pod(name: str, script: str = FOREVER, **spec: Any) -> Obj:
    mounting = shell(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    claim = {"persistentVolumeClaim": {"claimName": "claim"}}
    return pod(name, mounting, volumes=[{"name": "v", **claim}], **spec)


async def wait_registered(node: Node, driver: CsiDriver) -> None:
    await node.wait(lambda: bool(driver.told))


def registry(node: Node) -> Path:
    return node.config.data_dir / "plugins_registry"


async def test_a_driver_registers_and_goes(node: Node, driver: CsiDriver) -> None:
    driver.topology, driver.volumes_max = {"topology.sagong.example/rack": "r1"}, 5
    async with node.running_agent():
        async with driver.serving(registry(node)):
            await wait_registered(node, driver)
            assert driver.told == [(True, "")]
            found = await node.client.get(CSI_NODES, NODE)
            assert found["spec"]["drivers"] == [
                {
                    "name": NAME,
                    "nodeID": "node-id-1",
                    "topologyKeys": ["topology.sagong.example/rack"],
                    "allocatable": {"count": 5},
                }
            ]
            assert found["metadata"]["ownerReferences"][0]["kind"] == "Node"
            obj = await node.client.get("nodes", NODE)
            assert obj["metadata"]["labels"]["topology.sagong.example/rack"] == "r1"
            ids = json.loads(obj["metadata"]["annotations"]["csi.volume.kubernetes.io/nodeid"])
            assert ids == {NAME: "node-id-1"}

        async def has_gone() -> bool:
            drivers = (await node.client.get(CSI_NODES, NODE))["spec"]["drivers"]
            annotations = (await node.client.get("nodes", NODE))["metadata"]["annotations"]
            return not drivers and "csi.volume.kubernetes.io/nodeid" not in annotations

        await node.wait_until(has_gone)


async def test_a_driver_is_refused_and_told_why(node: Node, driver: CsiDriver) -> None:
    driver.versions = ("0.3.0",)
    async with node.running_agent(), driver.serving(registry(node)):
        await wait_registered(node, driver)
        done, error = driver.told[0]
        assert not done
        assert error.startswith("RegisterPlugin error -- plugin registration failed with err: ")
        assert not (await node.client.get(CSI_NODES, NODE))["spec"]["drivers"]


async def test_a_persistent_volume_is_staged_once_and_published_for_each_pod(
    node: Node, driver: CsiDriver, tmp_path: Path
) -> None:
    # As on a machine whose /var/lib/kubelet leads to the agent's directory.
    view = tmp_path / "kubelet"
    view.symlink_to(node.config.data_dir)
    await describe_driver(node, podInfoOnMount=True)
    await make_claim(node, csi={"volumeAttributes": {"colour": "blue"}}, mountOptions=["noatime"])
    async with node.running_agent(plugin_view=view) as agent, driver.serving(registry(node)):
        await wait_registered(node, driver)
        await node.create(claim_pod("first", f"echo kept >/v/f; {FOREVER}"))
        first = await node.wait_pod("first", is_ready)
        await tell_usage(agent, first, driver)
        await node.wait(lambda: (driver.data(HANDLE) / "f").exists())
        await node.create(claim_pod("second", f"cat /v/f; {FOREVER}"))
        second = await node.wait_pod("second", is_ready)
        assert await node.wait_log(second, "c0") == ["kept"]
        stage, publish = driver.last("NodeStageVolume"), driver.last("NodePublishVolume")
        uid = second["metadata"]["uid"]
        root = node.config.data_dir
        assert publish.target_path == (
            f"{view}/pods/{uid}/volumes/kubernetes.io~csi/pv-claim/mount"
        )
        assert publish.staging_target_path == stage.staging_target_path
        assert stage.staging_target_path.startswith(f"{view}/plugins/kubernetes.io/csi/{NAME}/")
        assert stage.staging_target_path.endswith("/globalmount")
        assert stage.volume_capability.mount.fs_type == "ext4"
        assert list(stage.volume_capability.mount.mount_flags) == ["noatime"]
        assert dict(stage.volume_context) == {"colour": "blue"}
        prefix = "csi.storage.k8s.io/"
        assert dict(publish.volume_context) == {
            "colour": "blue",
            f"{prefix}pod.name": "second",
            f"{prefix}pod.namespace": "default",
            f"{prefix}pod.uid": uid,
            f"{prefix}serviceAccount.name": "default",
            f"{prefix}ephemeral": "false",
        }
        await node.delete("first")
        assert driver.published == [HANDLE]
        assert driver.staged == [HANDLE]
        await node.delete("second")
        await node.wait(lambda: not node.config.pod_dir(uid).exists())
        assert (driver.published, driver.staged) == ([], [])
        assert (driver.data(HANDLE) / "f").read_text() == "kept\n"
        assert not mounts.mounts_under(root / "plugins")
        assert not list((root / "plugins/kubernetes.io/csi" / NAME).iterdir())


async def tell_usage(agent: NodeAgent, pod: Obj, driver: CsiDriver) -> None:
    """What the driver says of its volume is in the summary and in the metrics."""
    figures = await VolumeMeter(agent, SystemClock()).of_pods()
    reference = {"name": pod["metadata"]["name"], "namespace": "default"}
    reference |= {"uid": pod["metadata"]["uid"]}
    told = with_volumes({"pods": [{"podRef": reference}]}, figures, 0.0)["pods"][0]["volume"]
    assert told == [
        {
            "time": "1970-01-01T00:00:00Z",
            "name": "v",
            "capacityBytes": 100,
            "availableBytes": 60,
            "usedBytes": 40,
            "pvcRef": {"name": "claim", "namespace": "default"},
            "volumeHealthStats": {"abnormal": True},
        }
    ]
    assert driver.last("NodeGetVolumeStats").volume_path.endswith("/mount")
    exposition = Exposition()
    expose_claims(exposition, [pod], figures)
    labels = 'namespace="default",persistentvolumeclaim="claim"'
    assert f"kubelet_volume_stats_used_bytes{{{labels}}} 40" in exposition.text()
    assert f"kubelet_volume_stats_health_status_abnormal{{{labels}}} 1" in exposition.text()


async def test_an_inline_volume_with_tokens_secrets_and_a_group(
    node: Node, driver: CsiDriver
) -> None:
    driver.capabilities = ()
    await describe_driver(
        node,
        volumeLifecycleModes=["Ephemeral"],
        podInfoOnMount=True,
        fsGroupPolicy="File",
        requiresRepublish=True,
        tokenRequests=[{"audience": "vault", "expirationSeconds": 600}],
    )
    secret = {"metadata": {"name": "access", "namespace": "default"}, "data": {"key": "aHVzaA=="}}
    await node.client.create("secrets", secret)
    source = {
        "driver": NAME,
        "volumeAttributes": {"size": "1"},
        "nodePublishSecretRef": {"name": "access"},
    }
    script = f"touch /v/mine; stat -c '%g %A' /v; stat -c %g /v/mine; {FOREVER}"
    mounting = shell(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    async with node.running_agent(), driver.serving(registry(node)):
        await wait_registered(node, driver)
        manifest = pod(
            "inline",
            mounting,
            volumes=[{"name": "v", "csi": source}],
            securityContext={"fsGroup": 4000, "runAsUser": 1000},
        )
        await node.create(manifest)
        seen = await node.wait_pod("inline", is_ready)
        assert await node.wait_log(seen, "c0", 2) == ["4000 drwxrwsr-x", "4000"]
        publish = driver.last("NodePublishVolume")
        assert publish.volume_id.startswith("csi-")
        assert dict(publish.secrets) == {"key": "hush"}
        context = dict(publish.volume_context)
        assert context["csi.storage.k8s.io/ephemeral"] == "true"
        tokens = json.loads(context["csi.storage.k8s.io/serviceAccount.tokens"])
        assert set(tokens) == {"vault"}
        assert set(tokens["vault"]) == {"token", "expirationTimestamp"}
        # Republished as long as the pod runs.
        await node.wait(lambda: driver.methods().count("NodePublishVolume") > 1)
        await node.delete("inline")
        assert driver.published == []
        assert "NodeStageVolume" not in driver.methods()


async def test_events_of_what_cannot_be_mounted(node: Node, driver: CsiDriver) -> None:
    """No driver yet; a mode that it does not have; a claim that is not there; its own failure."""
    await describe_driver(node)
    await make_claim(node)
    mounting = shell(FOREVER, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    async with node.running_agent():
        await node.create(claim_pod("early"))
        text = await node.wait_event("early", "FailedMount")
        assert text == (
            'MountVolume.MountDevice failed for volume "v" : kubernetes.io/csi: '
            "attacher.MountDevice failed to create newCsiDriverClient: "
            f"driver name {NAME} not found in the list of registered CSI drivers"
        )
        claim = {"persistentVolumeClaim": {"claimName": "none"}}
        await node.create(pod("lost", mounting, volumes=[{"name": "v", **claim}]))
        text = await node.wait_event("lost", "FailedMount")
        assert text == (
            "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
            "failed to process volumes=[v]: error processing PVC default/none: failed to fetch "
            'PVC from API server: persistentvolumeclaims "none" not found'
        )
        driver.failures["NodePublishVolume"] = (grpc.StatusCode.INTERNAL, "no luck")
        async with driver.serving(registry(node)):
            await wait_registered(node, driver)
            text = await node.wait_event("early", "FailedMount", "no luck")
            assert text == (
                'MountVolume.SetUp failed for volume "v" : '
                "rpc error: code = Internal desc = no luck"
            )
            inline = {"name": "v", "csi": {"driver": NAME}}
            await node.create(pod("inline", mounting, volumes=[inline]))
            text = await node.wait_event("inline", "FailedMount")
            assert 'volume mode "Ephemeral" not supported by driver' in text
            del driver.failures["NodePublishVolume"]
            await node.wait_pod("early", is_ready)
            for name in ("early", "lost", "inline"):
                await node.delete(name)
            assert (driver.published, driver.staged) == ([], [])


async def test_an_attachment_is_waited_for(node: Node, driver: CsiDriver) -> None:
    await describe_driver(node, attachRequired=True)
    await make_claim(node)
    name = attachment_name(HANDLE, NAME, NODE)
    unique = f"kubernetes.io/csi/{NAME}^{HANDLE}"

    async def is_in_use() -> bool:
        status = (await node.client.get("nodes", NODE))["status"]
        return bool(status.get("volumesInUse") == [unique])

    async with node.running_agent(), driver.serving(registry(node)):
        await wait_registered(node, driver)
        await node.create(claim_pod("attached"))
        await node.wait_until(is_in_use)
        assert driver.methods() == []
        attachment = {
            "metadata": {"name": name},
            "spec": {
                "attacher": NAME,
                "nodeName": NODE,
                "source": {"persistentVolumeName": "pv-claim"},
            },
        }
        resource = "volumeattachments.storage.k8s.io"
        made = await node.client.create(resource, attachment)
        status = {"attached": True, "attachmentMetadata": {"lun": "7"}}
        await node.client.update(resource, {**made, "status": status}, subresource="status")
        await node.wait_pod("attached", is_ready)
        assert dict(driver.last("NodeStageVolume").publish_context) == {"lun": "7"}
        assert dict(driver.last("NodePublishVolume").publish_context) == {"lun": "7"}
        assert await is_in_use()
        await node.delete("attached")

        async def is_free() -> bool:
            return "volumesInUse" not in (await node.client.get("nodes", NODE))["status"]

        await node.wait_until(is_free)


async def test_a_killed_agent_finds_its_volumes_again(node: Node, driver: CsiDriver) -> None:
    """One pod goes on; one was deleted meanwhile: what it had mounted is taken back."""
    await describe_driver(node)
    await make_claim(node)
    async with driver.serving(registry(node)):
        async with node.running_agent():
            await node.create(claim_pod("stays"))
            await node.create(claim_pod("goes"))
            stays = await node.wait_pod("stays", is_ready)
            goes = await node.wait_pod("goes", is_ready)
        await node.client.delete("pods", "goes", namespace="default", grace_period_seconds=0)
        driver.told.clear()
        async with node.running_agent():
            await wait_registered(node, driver)
            gone = node.config.pod_dir(goes["metadata"]["uid"])
            await node.wait(lambda: not gone.exists())
            again = await node.wait_pod("stays", is_ready)
            first, second = (p["status"]["containerStatuses"][0] for p in (stays, again))
            assert first["containerID"] == second["containerID"]
            assert driver.staged == [HANDLE]
            await node.delete("stays")
            assert (driver.published, driver.staged) == ([], [])


async def test_a_volume_grows(node: Node, driver: CsiDriver) -> None:
    await describe_driver(node)
    await make_claim(node)
    async with node.running_agent(), driver.serving(registry(node)):
        await wait_registered(node, driver)
        await node.create(claim_pod("grower"))
        await node.wait_pod("grower", is_ready)
        pending = {"type": "FileSystemResizePending", "status": "True"}
        statuses = {"storage": "NodeResizePending"}
        status = {"conditions": [pending], "allocatedResourceStatuses": statuses}
        claims = "persistentvolumeclaims"
        await node.client.patch(
            claims, "claim", {"status": status}, namespace="default", subresource="status"
        )
        await node.client.patch(
            "persistentvolumes", "pv-claim", {"spec": {"capacity": {"storage": "2Gi"}}}
        )

        async def has_grown() -> bool:
            claim = await node.client.get(claims, "claim", namespace="default")
            return bool(claim["status"]["capacity"]["storage"] == "2Gi")

        await node.wait_until(has_grown)
        claim = await node.client.get(claims, "claim", namespace="default")
        assert "allocatedResourceStatuses" not in claim["status"]
        assert not claim["status"].get("conditions")
        expand = driver.last("NodeExpandVolume")
        assert expand.capacity_range.required_bytes == 2 << 30
        assert expand.volume_path == driver.last("NodePublishVolume").target_path
        assert expand.staging_target_path == driver.last("NodeStageVolume").staging_target_path
        text = await node.wait_event("grower", "FileSystemResizeSuccessful")
        assert text == f'MountVolume.NodeExpandVolume succeeded for volume "pv-claim" {NODE}'
        await node.delete("grower")


async def test_a_block_device(node: Node, driver: CsiDriver) -> None:
    await describe_driver(node)
    await make_claim(node, volumeMode="Block", csi={"fsType": None})
    script = f"echo $(dd if=/dev/xvda bs=6 count=1 2>/dev/null); {FOREVER}"
    using = shell(script, volumeDevices=[{"name": "v", "devicePath": "/dev/xvda"}])
    claim = {"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}
    async with node.running_agent(), driver.serving(registry(node)):
        await wait_registered(node, driver)
        await node.create(pod("raw", using, volumes=[claim]))
        seen = await node.wait_pod("raw", is_ready)
        assert await node.wait_log(seen, "c0") == ["sagong"]
        publish = driver.last("NodePublishVolume")
        uid = seen["metadata"]["uid"]
        place = "plugins/kubernetes.io/csi/volumeDevices/publish/pv-claim"
        assert publish.target_path == f"{node.config.data_dir}/{place}/{uid}"
        assert publish.volume_capability.HasField("block")
        await node.create(claim_pod("wrong"))
        text = await node.wait_event("wrong", "FailedMount")
        assert "volume v has volumeMode Block, but is specified in volumeMounts" in text
        await node.delete("raw")
        await node.delete("wrong")
        assert (driver.published, driver.staged) == ([], [])
