"""Devices by ResourceClaims, of a driver of our own: prepared, given, found again, returned."""

from pathlib import Path
from typing import Any

import pytest
from tests.cluster.dra_driver import KIND, NAME, DraDriver

from sagong.api.types import Obj

from .conftest import FOREVER, NODE, Node, is_ready, pod, shell
from .test_devices import pod_resources

CLAIMS = "resourceclaims.resource.k8s.io"
SLICES = "resourceslices.resource.k8s.io"


@pytest.fixture
def driver(node: Node, tmp_path: Path) -> DraDriver:
    """Not serving yet."""
    made = DraDriver(tmp_path / "drv", tmp_path / "cdi", {"both": ("left:a", "right:b")})
    made.describe("a", "b")
    return made


def registry(node: Node) -> Path:
    return node.config.data_dir / "plugins_registry"


async def make_claim(node: Node, name: str) -> None:
    """A claim of two requests, allocated as the scheduler does."""
    requests = [{"name": n, "exactly": {"deviceClassName": "gadget"}} for n in ("left", "right")]
    claim = {"metadata": {"name": name, "namespace": "default"}}
    made = await node.client.create(CLAIMS, {**claim, "spec": {"devices": {"requests": requests}}})
    results = [
        {"request": request, "driver": NAME, "pool": "pool", "device": device}
        for request, device in (("left", "a"), ("right", "b"))
    ]
    made["status"] = {"allocation": {"devices": {"results": results}}}
    await node.client.update(CLAIMS, made, subresource="status")


async def reserve(node: Node, claim: str, *pods: str) -> None:
    """What the scheduler writes when it binds pods."""
    users = []
    for name in pods:
        uid = (await node.get(name))["metadata"]["uid"]
        users.append({"resource": "pods", "name": name, "uid": uid})
    patch = {"status": {"reservedFor": users}}
    await node.client.patch(CLAIMS, claim, patch, namespace="default", subresource="status")


def user(name: str, request: str = "") -> Obj:
    script = "env | grep GADGET | sort; ls /dev /cdi | grep -E '^(a|b|gadget.json)$'; " + FOREVER
    entry = {"name": "mine", **({"request": request} if request else {})}
    container = shell(script, resources={"claims": [entry]})
    return pod(name, container, resourceClaims=[{"name": "mine", "resourceClaimName": "both"}])


def told_health(obj: Obj) -> Any:
    statuses = (obj.get("status") or {}).get("containerStatuses") or [{}]
    return statuses[0].get("allocatedResourcesStatus")


async def test_claims_are_prepared_shared_and_given_back(node: Node, driver: DraDriver) -> None:
    await make_claim(node, "both")
    settings = {"cdi_dirs": (driver.cdi_dir,), "slice_wipe_seconds": 0.5}
    async with node.running_agent(**settings):
        # Nobody has said yet that the pod may use it; then nobody is there who could prepare it.
        await node.create(user("one"))
        text = "Failed to prepare dynamic resources: prepare dynamic resources: "
        reason = "FailedPrepareDynamicResources"
        await node.wait_event("one", reason, text + "pod one (")
        await node.create(user("two", "right"))
        await reserve(node, "both", "one", "two")
        await node.wait_event("one", reason, text + f"DRA driver {NAME} is not registered")
        async with driver.serving(registry(node)):
            one = await node.wait_pod("one", is_ready)
            two = await node.wait_pod("two", is_ready)
            assert driver.told == [(True, "")]
            assert driver.calls == [("prepare", ["both"])]
            log = await node.wait_log(one, "c0", 5)
            assert log == ["GADGET_A=here", "GADGET_B=here", "gadget.json", "a", "b"]
            assert (await node.wait_log(two, "c0", 3))[0] == "GADGET_B=here"
            await check_told(node)
            driver.set_health("a", "UNHEALTHY")
            await node.wait_pod("one", lambda own: told_health(own) == [
                {"name": "claim:mine", "resources": [
                    {"resourceID": f"{KIND}=a", "health": "Unhealthy", "message": "is unhealthy"},
                    {"resourceID": f"{KIND}=b", "health": "Unknown"},
                ]},
            ])  # fmt: skip
            await node.delete("one")
            assert driver.calls == [("prepare", ["both"])]
    # Another agent knows what is prepared, and cannot let go of it without the driver.
    async with node.running_agent(**settings):
        await node.client.delete("pods", "two", namespace="default")
        async with driver.serving(registry(node)):
            await node.wait_gone("two")
            assert driver.calls == [("prepare", ["both"]), ("unprepare", ["both"])]
            await make_slice(node)
        await node.wait_until(lambda: has_no_slices(node))


async def check_told(node: Node) -> None:
    """What monitoring agents read."""
    found = {p.name: p.containers[0].dynamic_resources for p in await pod_resources(node)}
    (own,) = found["one"]
    assert (own.claim_namespace, own.claim_name) == ("default", "both")
    assert [(r.driver_name, r.pool_name, r.device_name) for r in own.claim_resources] == [
        (NAME, "pool", "a"),
        (NAME, "pool", "b"),
    ]
    (own,) = found["two"]
    assert [r.cdi_devices[0].name for r in own.claim_resources] == [f"{KIND}=b"]


async def make_slice(node: Node) -> None:
    """As the driver publishes it."""
    spec = {"driver": NAME, "nodeName": NODE, "devices": [{"name": "a"}]}
    spec["pool"] = {"name": "pool", "generation": 1, "resourceSliceCount": 1}
    await node.client.create(SLICES, {"metadata": {"name": "slice"}, "spec": spec})


async def has_no_slices(node: Node) -> bool:
    return not (await node.client.list(SLICES)).items


async def test_a_failure_to_prepare_is_told_and_tried_again(node: Node, driver: DraDriver) -> None:
    await make_claim(node, "both")
    driver.version, driver.failures = "v1beta1", {"both": "no luck"}
    async with node.running_agent(cdi_dirs=(driver.cdi_dir,)), driver.serving(registry(node)):
        await node.create(user("one"))
        await reserve(node, "both", "one")
        failed = "NodePrepareResources failed for ResourceClaim both: no luck"
        await node.wait_event("one", "FailedPrepareDynamicResources", failed)
        driver.failures.clear()
        await node.wait_pod("one", is_ready)
        await node.delete("one")
        assert driver.calls[-1] == ("unprepare", ["both"])
