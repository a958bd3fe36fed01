"""The default storage class on real nodes: volumes made, kept, grown and removed."""

import asyncio
from pathlib import Path

from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, is_ready, phase_is, pod, shell

from sagong.api.types import Obj


def claim(name: str, *, class_: str | None = None, size: str = "1Gi", **spec: object) -> Obj:
    given: Obj = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    if class_ is not None:
        given["storageClassName"] = class_
    return {"metadata": {"name": name}, "spec": {**given, **spec}}


def mounting(script: str) -> Obj:
    return shell(script, volumeMounts=[{"name": "v", "mountPath": "/v"}])


def volume(name: str) -> Obj:
    return {"name": "v", "persistentVolumeClaim": {"claimName": name}}


def _is_gone(path: Path) -> bool:
    return not path.exists()


async def wait_gone(space: Space, name: str) -> None:
    async with asyncio.timeout(90):
        while any(  # noqa: ASYNC110
            v.obj["metadata"]["name"] == name
            for v in (await space.client.list("persistentvolumes")).items
        ):
            await asyncio.sleep(0.2)


async def test_data_outlives_pods_and_goes_with_its_claim(space: Space) -> None:
    await space.create("persistentvolumeclaims", claim("data"))
    await space.wait_event("data", "WaitForFirstConsumer")
    writer = pod("writer", mounting("echo kept >/v/f"), volumes=[volume("data")],
                 restartPolicy="Never")  # fmt: skip
    written = await space.run(writer, phase_is("Succeeded"))
    bound = await space.wait(
        "persistentvolumeclaims", "data", lambda c: c["status"].get("phase") == "Bound"
    )
    name = bound["spec"]["volumeName"]
    await space.wait_event("data", "ProvisioningSucceeded", name)
    made = await space.client.get("persistentvolumes", name)
    path = Path(made["spec"]["local"]["path"])
    assert (path / "f").read_text() == "kept\n"
    reader = pod("reader", mounting(FOREVER), volumes=[volume("data")])
    read = await space.run(reader, is_ready)
    assert await space.shell("reader", "cat /v/f") == "kept\n"
    assert read["spec"]["nodeName"] == written["spec"]["nodeName"]
    # It grows while it is used.
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    await space.patch("persistentvolumeclaims", "data", larger)
    await space.wait(
        "persistentvolumeclaims", "data", lambda c: c["status"]["capacity"]["storage"] == "2Gi"
    )
    # A claim in use waits for its pods.
    await space.client.delete("persistentvolumeclaims", "data", namespace=space.name)
    still = await space.get("persistentvolumeclaims", "data")
    assert still["metadata"]["deletionTimestamp"]
    await space.delete("pods", "reader")
    await space.delete("pods", "writer")
    await space.wait_gone("persistentvolumeclaims", "data")
    await wait_gone(space, name)
    assert _is_gone(path)


async def test_an_immediate_class_that_retains(space: Space) -> None:
    node = space.cluster.nodes[1]
    expression = {"key": "kubernetes.io/hostname", "values": [node]}
    class_ = {
        "metadata": {"name": f"now-{space.name}"},
        "provisioner": "sagong.dev/local",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
        "allowedTopologies": [{"matchLabelExpressions": [expression]}],
    }
    classes = "storageclasses.storage.k8s.io"
    await space.client.create(classes, class_)
    try:
        name = f"now-{space.name}"
        await space.create("persistentvolumeclaims", claim("early", class_=name))
        shared = claim("shared", class_=name, accessModes=["ReadWriteMany"])
        await space.create("persistentvolumeclaims", shared)
        bound = await space.wait(
            "persistentvolumeclaims", "early", lambda c: c["status"].get("phase") == "Bound"
        )
        text = await space.wait_event("shared", "ProvisioningFailed")
        assert text.endswith(
            "only the access modes ReadWriteOnce and ReadWriteOncePod are supported, "
            "not ReadWriteMany"
        )
        user = pod("user", mounting(FOREVER), volumes=[volume("early")])
        seen = await space.run(user, is_ready)
        await space.shell("user", "echo kept >/v/f")
        assert seen["spec"]["nodeName"] == node
        await space.delete("pods", "user")
        await space.delete("persistentvolumeclaims", "early")
        volume_name = bound["spec"]["volumeName"]
        async with asyncio.timeout(60):
            while True:
                left = await space.client.get("persistentvolumes", volume_name)
                if left["status"]["phase"] == "Released":
                    break
                await asyncio.sleep(0.2)
        assert (Path(left["spec"]["local"]["path"]) / "f").read_text() == "kept\n"
        await space.client.delete("persistentvolumes", volume_name)
    finally:
        await space.client.delete(classes, f"now-{space.name}")


async def test_ephemeral_volumes_come_and_go_with_their_pod(space: Space) -> None:
    template = {"spec": claim("x", size="64Mi")["spec"], "metadata": {"labels": {"of": "pod"}}}
    scratch = {"name": "v", "ephemeral": {"volumeClaimTemplate": template}}
    script = f"touch /v/mine; ls /v; {FOREVER}"
    await space.run(pod("scratch", mounting(script), volumes=[scratch]), is_ready)
    made = await space.get("persistentvolumeclaims", "scratch-v")
    assert made["metadata"]["labels"] == {"of": "pod"}
    assert made["metadata"]["ownerReferences"][0]["name"] == "scratch"
    await space.delete("pods", "scratch")
    await space.wait_gone("persistentvolumeclaims", "scratch-v")
    await wait_gone(space, made["spec"]["volumeName"])
