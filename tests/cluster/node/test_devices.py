"""Device plugins: offered, given, kept over a restart, given back."""

from typing import Any

import grpc.aio

from sagong.api.types import Obj
from sagong.node.alignment.settings import AlignmentSettings
from sagong.node.devices.pod_resources import messages

from .conftest import FOREVER, NODE, Node, is_ready, phase_is, pod, shell
from .device_plugin import RESOURCE, DevicePlugin


def wanting(count: int) -> Obj:
    script = "echo $WIDGETS; test -c /dev/widget && test -e /widgets/kubelet.sock && echo here; "
    resources = {"limits": {RESOURCE: str(count)}, "requests": {RESOURCE: str(count)}}
    return shell(script + FOREVER, resources=resources)


async def offered(node: Node, capacity: str, allocatable: str) -> None:
    def holds(own: Obj) -> bool:
        status = own["status"]
        found = (status["capacity"].get(RESOURCE), status["allocatable"].get(RESOURCE))
        return found == (capacity, allocatable)

    await node.wait_node(holds)


async def pod_resources(node: Node) -> list[Any]:
    """What a monitoring agent reads."""
    found = messages()
    socket = node.config.data_dir / "pod-resources" / "kubelet.sock"
    async with grpc.aio.insecure_channel(f"unix://{socket}") as channel:
        call = channel.unary_unary(
            "/v1.PodResourcesLister/List",
            request_serializer=found.message_class("ListPodResourcesRequest").SerializeToString,
            response_deserializer=found.message_class("ListPodResourcesResponse").FromString,
        )
        answer = await call(found.make("ListPodResourcesRequest"), timeout=10)
    return list(answer.pod_resources)


def health(obj: Obj) -> dict[str, str]:
    """What the pod's status tells of its devices."""
    (status,) = obj["status"]["containerStatuses"][0].get("allocatedResourcesStatus") or [
        {"name": RESOURCE, "resources": []}
    ]
    assert status["name"] == RESOURCE
    return {entry["resourceID"]: entry["health"] for entry in status["resources"]}


async def test_devices_of_a_plugin(node: Node) -> None:
    plugin = DevicePlugin(
        node.config.data_dir / "device-plugins", {f"w{i}": "Healthy" for i in range(3)}
    )
    aligned = AlignmentSettings(topology_policy="single-numa-node")
    async with node.running_agent(alignment=aligned), plugin.serving():
        await offered(node, "3", "3")
        await node.create(pod("one", wanting(2)))
        seen = await node.wait_pod("one", is_ready)
        assert node.log(seen, "c0").splitlines() == ["w1,w2", "here"]
        assert plugin.prepared == [["w1", "w2"]]
        (told,) = await pod_resources(node)
        assert (told.namespace, told.name) == ("default", "one")
        (own,) = told.containers[0].devices
        assert (own.resource_name, sorted(own.device_ids)) == (RESOURCE, ["w1", "w2"])
        assert [place.ID for place in own.topology.nodes] == [0]
        assert health(seen) == {"w1": "Healthy", "w2": "Healthy"}
        plugin.set_health("w1", "Unhealthy")
        await node.wait_pod("one", lambda o: health(o) == {"w1": "Unhealthy", "w2": "Healthy"})
        plugin.set_health("w1", "Healthy")
        plugin.set_health("w0", "Unhealthy")
        await offered(node, "3", "2")
        # Bound here by hand, past the scheduler: the node itself refuses.
        await node.create(pod("two", wanting(1)))
        refused = await node.wait_pod("two", phase_is("Failed"))
        assert refused["status"]["reason"] in ("UnexpectedAdmissionError", f"OutOf{RESOURCE}")
        plugin.set_health("w0", "Healthy")
        await offered(node, "3", "3")
    # Another agent knows who has what, before the plugin is back and after.
    async with node.running_agent() as agent:
        await offered(node, "0", "0")
        async with plugin.serving():
            await offered(node, "3", "3")
            await node.create(pod("three", wanting(1)))
            seen = await node.wait_pod("three", is_ready)
            assert node.log(seen, "c0").splitlines() == ["w0", "here"]
            await node.delete("one")
            await node.create(pod("four", wanting(2)))
            seen = await node.wait_pod("four", is_ready)
            assert node.log(seen, "c0").splitlines() == ["w1,w2", "here"]
        assert agent.workers


async def test_extended_resources_of_others_stay(node: Node) -> None:
    async with node.running_agent(status_seconds=0.2, status_report_seconds=0.2):
        patch = {"status": {"capacity": {"example.com/fake": "5"}}}
        await node.client.patch("nodes", NODE, patch, subresource="status")
        await node.wait_node(
            lambda own: own["status"]["allocatable"].get("example.com/fake") == "5"
        )
        own = await node.client.get("nodes", NODE)
        assert own["status"]["capacity"]["example.com/fake"] == "5"
