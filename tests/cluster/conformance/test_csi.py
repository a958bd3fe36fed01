"""CSI end to end: provisioned, attached, mounted, moved to another node, deleted.

The driver and what stands for its sidecars (provisioner, attacher) run in this process: they speak
to the API, and to the agents through their registration directories, as any others do.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.csi_driver import CsiDriver
from tests.cluster.manifests import FOREVER, is_ready, pod, shell

from sagong.api.errors import Conflict, NotFound
from sagong.api.meta import deep_copy, is_deleting
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.ids import SystemIds
from sagong.core.tasks import task_group

CLASSES, DRIVERS = "storageclasses.storage.k8s.io", "csidrivers.storage.k8s.io"
ATTACHMENTS, CSI_NODES = "volumeattachments.storage.k8s.io", "csinodes.storage.k8s.io"
FINALIZER = "external-attacher/test"
LOOK_SECONDS = 0.2


@pytest.fixture
async def drivers(space: Space) -> AsyncIterator[dict[str, CsiDriver]]:
    """One on each of two nodes, over the same data; registered."""
    base = Path("/tmp") / f"csi-{SystemIds().suffix()}"
    name = f"{space.name}.example"
    made = {
        node: CsiDriver(base / str(number), name, node_id=node, shared=base)
        for number, node in enumerate(space.cluster.nodes[:2])
    }
    async with contextlib.AsyncExitStack() as stack:
        for node, driver in made.items():
            registry = space.cluster.data_dir / "nodes" / node / "agent" / "plugins_registry"
            await stack.enter_async_context(driver.serving(registry))
        async with asyncio.timeout(30):
            while not all(driver.told for driver in made.values()):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        yield made
    shutil.rmtree(base)


async def provision(space: Space, name: str) -> None:
    """The external provisioner: a volume for each claim that names the driver."""
    while True:
        for claim in await space.listed("persistentvolumeclaims"):
            annotations = claim["metadata"].get("annotations") or {}
            asked = annotations.get("volume.kubernetes.io/storage-provisioner") == name
            if asked and not claim["spec"].get("volumeName"):
                with contextlib.suppress(Conflict):
                    await space.client.create("persistentvolumes", _volume_of(claim, name))
        for item in (await space.client.list("persistentvolumes")).items:
            spec = item.obj["spec"]
            ours = (spec.get("csi") or {}).get("driver") == name
            if ours and (item.obj.get("status") or {}).get("phase") == "Released":
                with contextlib.suppress(NotFound):
                    await space.client.delete("persistentvolumes", item.obj["metadata"]["name"])
        await asyncio.sleep(LOOK_SECONDS)


def _volume_of(claim: Obj, driver: str) -> Obj:
    metadata, spec = claim["metadata"], claim["spec"]
    reference = {key: metadata[key] for key in ("name", "namespace", "uid")}
    return {
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": driver},
        },
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {"kind": "PersistentVolumeClaim", "apiVersion": "v1", **reference},
            "csi": {"driver": driver, "volumeHandle": metadata["uid"], "fsType": "ext4"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
        },
    }


async def attach(client: Client, name: str, history: list[str]) -> None:
    """The external attacher: says that it is done, and lets what is detached go."""
    while True:
        for item in (await client.list(ATTACHMENTS)).items:
            if item.obj["spec"]["attacher"] != name:
                continue
            with contextlib.suppress(Conflict, NotFound):
                await _attach_one(client, deep_copy(item.obj), history)
        await asyncio.sleep(LOOK_SECONDS)


async def _attach_one(client: Client, found: Obj, history: list[str]) -> None:
    node, finalizers = found["spec"]["nodeName"], found["metadata"].get("finalizers") or []
    if is_deleting(found) and FINALIZER in finalizers:
        history.append(f"detach {node}")
        found["metadata"]["finalizers"] = [f for f in finalizers if f != FINALIZER]
        await client.update(ATTACHMENTS, found)
    elif not is_deleting(found) and not (found.get("status") or {}).get("attached"):
        found["metadata"]["finalizers"] = [*finalizers, FINALIZER]
        found = await client.update(ATTACHMENTS, found)
        status = {"attached": True, "attachmentMetadata": {"device": "/dev/xyz"}}
        history.append(f"attach {node}")
        await client.update(ATTACHMENTS, {**found, "status": status}, subresource="status")


@contextlib.asynccontextmanager
async def described(space: Space, name: str) -> AsyncIterator[None]:
    """The driver's and the class's objects."""
    await space.client.create(
        DRIVERS, {"metadata": {"name": name}, "spec": {"podInfoOnMount": True}}
    )
    class_ = {"metadata": {"name": name}, "provisioner": name, "reclaimPolicy": "Delete"}
    await space.client.create(CLASSES, class_)
    try:
        yield
    finally:
        await space.client.delete(CLASSES, name)
        await space.client.delete(DRIVERS, name)


async def test_a_volume_moves_with_its_pod(space: Space, drivers: dict[str, CsiDriver]) -> None:
    (first, one), (second, other) = drivers.items()
    name, history = one.name, []
    listed = (await space.client.get(CSI_NODES, first))["spec"]["drivers"]
    assert name in {driver["name"] for driver in listed}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": name}
    claim |= {"resources": {"requests": {"storage": "1Gi"}}}
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]

    def user(node: str) -> Obj:
        mounting = shell(FOREVER, volumeMounts=[{"name": "v", "mountPath": "/v"}])
        hostname = {"kubernetes.io/hostname": node}
        return pod(f"on-{node}", mounting, volumes=volumes, nodeSelector=hostname)

    async with described(space, name), task_group() as tasks:
        tasks.start(provision(space, name), name="provisioner")
        tasks.start(attach(space.client, name, history), name="attacher")
        await space.create("persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": claim})
        await space.run(user(first), is_ready)
        await space.shell(f"on-{first}", "echo moved >/v/f")
        node = await space.client.get("nodes", first)
        bound = await space.get("persistentvolumeclaims", "data")
        handle = bound["metadata"]["uid"]
        unique = f"kubernetes.io/csi/{name}^{handle}"
        assert unique in node["status"]["volumesInUse"]
        assert unique in {v["name"] for v in node["status"]["volumesAttached"]}
        context = dict(one.last("NodeStageVolume").publish_context)
        assert context == {"device": "/dev/xyz"}
        await space.delete("pods", f"on-{first}")
        await space.run(user(second), is_ready)
        assert await space.shell(f"on-{second}", "cat /v/f") == "moved\n"
        assert (one.published, one.staged) == ([], [])
        assert (other.published, other.staged) == ([handle], [handle])
        assert history == [f"attach {first}", f"detach {first}", f"attach {second}"]
        await space.delete("pods", f"on-{second}")
        await space.delete("persistentvolumeclaims", "data")
        async with asyncio.timeout(60):
            while history[-1] != f"detach {second}":  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
        assert (other.published, other.staged) == ([], [])
        await _wait_gone(space, f"pvc-{handle}")


async def _wait_gone(space: Space, volume: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await space.client.get("persistentvolumes", volume)
            except NotFound:
                return
            await asyncio.sleep(LOOK_SECONDS)
