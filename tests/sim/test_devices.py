"""Devices through the whole control plane: allocated, reserved, waited for, and released."""

from sagong.api.types import Obj
from sagong.sim.loop import run_virtual

from .test_scheduling import placed, pod, refused
from .world import World, world

GROUP = "resource.k8s.io/v1"
CLAIMS = "resourceclaims.resource.k8s.io"
DRIVER = "gpu.example.com"


def named(kind: str, name: str, spec: Obj, namespace: str = "") -> Obj:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": spec}


async def offer(seen: World, node: str, *devices: str) -> None:
    spec = {
        "driver": DRIVER,
        "nodeName": node,
        "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": d, "attributes": {"model": {"string": "x"}}} for d in devices],
    }
    await seen.client.create("resourceslices.resource.k8s.io", named("ResourceSlice", node, spec))


def test_claims_get_devices_and_give_them_back() -> None:
    async def scenario(seen: World) -> None:
        selector = {"cel": {"expression": f'device.attributes["{DRIVER}"].model == "x"'}}
        spec: Obj = {"selectors": [selector]}
        await seen.client.create(
            "deviceclasses.resource.k8s.io", named("DeviceClass", "gpus", spec)
        )
        await offer(seen, "node-1", "g0")
        devices = {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpus"}}]}
        template = named("ResourceClaimTemplate", "one", {"spec": {"devices": devices}}, "default")
        await seen.client.create("resourceclaimtemplates.resource.k8s.io", template)
        wants = [{"name": "gpu", "resourceClaimTemplateName": "one"}]
        await seen.create("pods", pod("first", resourceClaims=wants))
        await seen.wait(lambda: placed(seen, "first"))
        assert seen.get("pods", "first")["spec"]["nodeName"] == "node-1"
        (item,) = (await seen.client.list(CLAIMS, namespace="default")).items
        status = item.obj["status"]
        (result,) = status["allocation"]["devices"]["results"]
        assert result == {"request": "gpu", "driver": DRIVER, "pool": "node-1", "device": "g0"}
        assert [user["name"] for user in status["reservedFor"]] == ["first"]
        assert "resource.kubernetes.io/delete-protection" in item.obj["metadata"]["finalizers"]

        await seen.create("pods", pod("second", resourceClaims=wants))
        await seen.wait(lambda: "cannot allocate all claims" in refused(seen, "second"))
        await seen.client.delete("pods", "first", namespace="default", grace_period_seconds=0)
        await seen.wait(lambda: placed(seen, "second"))

        await seen.create("pods", pod("third", resourceClaims=wants))
        await seen.wait(lambda: "cannot allocate all claims" in refused(seen, "third"))
        await offer(seen, "node-2", "g1")
        await seen.wait(lambda: placed(seen, "third"))
        assert seen.get("pods", "third")["spec"]["nodeName"] == "node-2"

    async def main() -> None:
        async with world(nodes=3) as seen:
            await scenario(seen)

    run_virtual(main(), 0, limit_seconds=3600)
