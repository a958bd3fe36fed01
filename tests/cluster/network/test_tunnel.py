"""Nodes that share no link: the router between them knows nothing of pods."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .machines import HERE, Machines, Obj, Pod, run

pytestmark = pytest.mark.cluster

SLICES = "endpointslices.discovery.k8s.io"
DEVICE = "sagong-vxlan"


@dataclass
class World:
    machines: Machines
    backend: Pod  # on the second node
    client: Pod  # on the first


@pytest.fixture(scope="module")
def world(far_machines: Machines) -> World:
    first, second = far_machines.nodes
    backend = second.pod("far")
    backend.serve("echo_server.py", "far", "8080")
    metadata = {"name": "web", "namespace": "default"}
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    spec = {"clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"], "ports": ports}
    far_machines.put("services", {"metadata": metadata, "spec": spec})
    slice_: Obj = {
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [backend.ip], "nodeName": second.name}],
    }
    far_machines.put(SLICES, slice_)
    far_machines.sync()
    return World(far_machines, backend, first.pod("client"))


def ask(namespace: Path, address: str, port: int = 8080) -> str:
    client = str(HERE / "request_client.py")
    return run(namespace, sys.executable, client, "tcp", address, str(port), "1").strip()


def test_pods_reach_each_other_under_their_own_addresses(world: World) -> None:
    client = world.client
    assert ask(client.namespace, world.backend.ip) == f"far {client.ip}"
    assert ask(client.namespace, world.backend.ipv6) == f"far {client.ipv6}"
    assert ask(client.namespace, "10.96.1.1", 80) == f"far {client.ip}"


def test_a_node_reaches_far_pods_from_its_address_on_the_device(world: World) -> None:
    first = world.machines.nodes[0]
    assert ask(first.namespace, world.backend.ip) == "far 10.244.0.0"
    assert ask(first.namespace, world.backend.ipv6) == "far fd00:10:244::"
    assert ask(first.namespace, "10.96.1.1", 80) == "far 10.244.0.0"


def test_a_pod_reaches_a_far_node_under_its_own_node_s_address(world: World) -> None:
    first, second = world.machines.nodes
    on_node = Pod("node", str(second.link.address), second.namespace)
    on_node.serve("echo_server.py", "node", "18080", on_node.ip)
    try:
        assert ask(world.client.namespace, on_node.ip, 18080) == f"node {first.link.address}"
    finally:
        on_node.stop()


def test_a_far_node_goes_and_comes_back(world: World) -> None:
    first, second = world.machines.nodes
    world.machines.delete("nodes", "", second.name)
    world.machines.sync()
    assert DEVICE not in run(first.namespace, "ip", "link")
    assert second.cidrs[0] not in run(first.namespace, "ip", "route")
    world.machines.put("nodes", second.object())
    world.machines.sync()
    assert ask(world.client.namespace, world.backend.ip) == f"far {world.client.ip}"


def test_a_device_that_someone_changed_is_put_right(world: World) -> None:
    first = world.machines.nodes[0]
    run(first.namespace, "ip", "neigh", "flush", "dev", DEVICE, "nud", "permanent")
    run(first.namespace, "ip", "link", "del", DEVICE)
    world.machines.sync()
    assert ask(world.client.namespace, world.backend.ip) == f"far {world.client.ip}"
    first.say({"remove": True})
    assert DEVICE not in run(first.namespace, "ip", "link")
