"""Service addresses between pods, nodes and the host, in the kernel."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from .machines import HERE, Machines, Obj, Pod, one_udp_flow, run

T = TypeVar("T")

pytestmark = pytest.mark.cluster

SLICES = "endpointslices.discovery.k8s.io"
HOST = Path(f"/proc/{os.getpid()}/ns/net")
HTTP = {"name": "http", "port": 80, "protocol": "TCP"}
INGRESS = {"ingress": [{"ip": "198.18.0.80"}]}


@dataclass
class World:
    machines: Machines
    backends: list[Pod]  # be-0 and be-1 on the first node, be-2 on the second
    client: Pod  # on the first node

    def service(self, name: str, ip: str, **spec: object) -> None:
        ports = spec.pop("ports", [HTTP])
        obj = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
        }
        if "loadBalancer" in spec:
            obj["status"] = {"loadBalancer": obj["spec"].pop("loadBalancer")}
        self.machines.put("services", obj)

    def endpoints(self, service: str, *pods: Pod, protocol: str = "TCP", **conditions: Obj) -> None:
        nodes = {p.name: n.name for n in self.machines.nodes for p in n.pods}
        self.machines.put(
            SLICES,
            {
                "metadata": {
                    "name": f"{service}-1",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": service},
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080, "protocol": protocol}],
                "endpoints": [
                    {
                        "addresses": [pod.ip],
                        "nodeName": nodes[pod.name],
                        "conditions": conditions.get(pod.name.replace("-", ""), {"ready": True}),
                    }
                    for pod in pods
                ],
            },
        )
        self.machines.sync()

    def ask(
        self, namespace: Path, address: str, port: int = 80, times: int = 1, protocol: str = "tcp"
    ) -> list[str]:
        client = str(HERE / "request_client.py")
        output = run(namespace, sys.executable, client, protocol, address, str(port), str(times))
        return output.splitlines()


@pytest.fixture(scope="module")
def world(machines: Machines) -> World:
    first, second = machines.nodes
    backends = [first.pod("be-0"), first.pod("be-1"), second.pod("be-2")]
    for pod in backends:
        pod.serve("echo_server.py", pod.name, "8080")
    return World(machines, backends, first.pod("client"))


def names(answers: list[str]) -> list[str]:
    return [answer.split()[0] for answer in answers]


def test_a_cluster_ip_reaches_every_endpoint_evenly(world: World) -> None:
    world.service("web", "10.96.1.1")
    world.endpoints("web", *world.backends)
    counts = Counter(names(world.ask(world.client.namespace, "10.96.1.1", times=240)))
    assert counts.keys() == {"be-0", "be-1", "be-2"}
    # 80 each are expected; 6 standard deviations (7.3 each) is a false alarm in 10^8 runs.
    assert all(36 <= count <= 124 for count in counts.values()), counts


def test_a_pod_keeps_its_own_address_on_the_way_to_a_service(world: World) -> None:
    world.service("web", "10.96.1.1")
    world.endpoints("web", *world.backends)
    answers = world.ask(world.client.namespace, "10.96.1.1", times=30)
    assert {answer.split()[1] for answer in answers} == {world.client.ip}


def test_a_pod_that_asks_itself_through_a_service_is_answered(world: World) -> None:
    world.service("self", "10.96.1.2")
    world.endpoints("self", world.backends[0])
    answers = world.ask(world.backends[0].namespace, "10.96.1.2")
    assert names(answers) == ["be-0"]


def test_the_node_and_other_nodes_pods_reach_a_service(world: World) -> None:
    world.service("web", "10.96.1.1")
    world.endpoints("web", *world.backends)
    for node in world.machines.nodes:
        assert len(set(names(world.ask(node.namespace, "10.96.1.1", times=40)))) == 3


def test_a_node_without_a_default_route_reaches_a_service(world: World) -> None:
    world.service("web", "10.96.1.1")
    world.endpoints("web", world.backends[2])
    node = world.machines.nodes[0]
    run(node.namespace, "ip", "route", "del", "default")
    try:
        assert names(world.ask(node.namespace, "10.96.1.1")) == ["be-2"]
    finally:
        gateway = str(world.machines.bridge.gateway)
        run(node.namespace, "ip", "route", "add", "default", "via", gateway)


def test_a_service_without_endpoints_refuses_and_so_does_a_wrong_port(world: World) -> None:
    world.service("none", "10.96.1.3", type="NodePort", ports=[{**HTTP, "nodePort": 30003}])
    world.endpoints("none")
    node = world.machines.nodes[0]
    assert world.ask(world.client.namespace, "10.96.1.3") == ["refused"]
    assert world.ask(node.namespace, "10.96.1.3") == ["refused"]
    assert world.ask(world.client.namespace, str(node.link.address), 30003) == ["refused"]
    world.endpoints("none", world.backends[0])
    assert names(world.ask(world.client.namespace, "10.96.1.3")) == ["be-0"]
    assert world.ask(world.client.namespace, "10.96.1.3", 81) == ["refused"]


def test_an_endpoint_that_goes_gets_no_new_connection(world: World) -> None:
    world.service("web", "10.96.1.1")
    world.endpoints("web", *world.backends)
    world.endpoints("web", *world.backends[1:])
    assert set(names(world.ask(world.client.namespace, "10.96.1.1", times=40))) == {"be-1", "be-2"}
    world.machines.delete(SLICES, "default", "web-1")
    world.machines.sync()
    assert world.ask(world.client.namespace, "10.96.1.1") == ["refused"]
    world.machines.delete("services", "default", "web")
    world.machines.sync()
    # An address of the service range that no service has is dropped, as upstream drops it.
    assert world.ask(world.client.namespace, "10.96.1.1") == ["timeout"]


def test_a_node_port_is_reached_from_outside_on_every_node(world: World) -> None:
    world.service("port", "10.96.1.4", type="NodePort", ports=[{**HTTP, "nodePort": 30004}])
    world.endpoints("port", *world.backends)
    for node in world.machines.nodes:
        answers = world.ask(HOST, str(node.link.address), 30004, times=40)
        assert set(names(answers)) == {"be-0", "be-1", "be-2"}
        # From a pod of the other node too.
        assert world.ask(world.client.namespace, str(node.link.address), 30004) != ["timeout"]


def test_local_external_policy_keeps_the_source_and_drops_elsewhere(world: World) -> None:
    world.service(
        "local",
        "10.96.1.5",
        type="NodePort",
        externalTrafficPolicy="Local",
        ports=[{**HTTP, "nodePort": 30005}],
    )
    world.endpoints("local", world.backends[0])
    first, second = world.machines.nodes
    outside = str(world.machines.bridge.gateway)
    assert world.ask(HOST, str(first.link.address), 30005) == [f"be-0 {outside}"]
    assert world.ask(HOST, str(second.link.address), 30005) == ["timeout"]
    # Pods and nodes are inside: the policy is not for them.
    assert names(world.ask(world.client.namespace, str(second.link.address), 30005)) == ["be-0"]
    assert names(world.ask(second.namespace, str(second.link.address), 30005)) == ["be-0"]


def test_local_internal_policy_stays_on_the_node(world: World) -> None:
    world.service("inner", "10.96.1.6", internalTrafficPolicy="Local")
    world.endpoints("inner", *world.backends)
    second = world.machines.nodes[1]
    answers = world.ask(world.client.namespace, "10.96.1.6", times=30)
    assert set(names(answers)) == {"be-0", "be-1"}
    assert set(names(world.ask(second.namespace, "10.96.1.6", times=10))) == {"be-2"}
    world.endpoints("inner", world.backends[2])
    assert world.ask(world.client.namespace, "10.96.1.6") == ["timeout"]


def test_an_external_ip_is_forwarded_and_source_ranges_hold(world: World) -> None:
    first, _ = world.machines.nodes
    run(HOST, "ip", "route", "add", "198.18.0.80/32", "via", str(first.link.address))
    try:
        world.service("lb", "10.96.1.7", type="LoadBalancer", loadBalancer=INGRESS)
        world.endpoints("lb", world.backends[2])
        assert names(world.ask(HOST, "198.18.0.80")) == ["be-2"]
        spec = {"type": "LoadBalancer", "loadBalancer": INGRESS}
        world.service("lb", "10.96.1.7", loadBalancerSourceRanges=["198.51.100.0/24"], **spec)
        world.machines.sync()
        assert world.ask(HOST, "198.18.0.80") == ["timeout"]
        assert names(world.ask(world.client.namespace, "10.96.1.7")) == ["be-2"]
    finally:
        run(HOST, "ip", "route", "del", "198.18.0.80/32")


def test_a_pools_address_is_answered_for_by_one_node_and_moves_with_it(world: World) -> None:
    """The host asks on the nodes' own network (ARP), without a route."""
    address = str(world.machines.bridge.subnet.network_address + 200)
    ingress = {"ingress": [{"ip": address}]}
    world.service("pool", "10.96.1.20", type="LoadBalancer", loadBalancer=ingress)
    world.endpoints("pool", *world.backends)
    owner = wait_for(lambda: holders(world, address))[0]
    wait_for(lambda: set(names(world.ask(HOST, address, times=20))) == {"be-0", "be-1", "be-2"})
    # Nothing of the node itself is reached by it.
    assert world.ask(HOST, address, 10256) == ["refused"]
    (other,) = (node for node in world.machines.nodes if node.name != owner)
    gone = next(node for node in world.machines.nodes if node.name == owner)
    world.machines.put("nodes", gone.object(ready="Unknown"))
    wait_for(lambda: holders(world, address) == [other.name])
    # The new holder has told its neighbours: no wait for what they remember to grow old.
    assert world.ask(HOST, address) != ["timeout"]
    world.machines.put("nodes", gone.object())
    wait_for(lambda: holders(world, address) == [owner])
    world.machines.delete("services", "default", "pool")
    wait_for(lambda: holders(world, address) == [])


def holders(world: World, address: str) -> list[str]:
    nodes = world.machines.nodes
    return [n.name for n in nodes if f"{address}/32" in run(n.namespace, "ip", "addr")]


def wait_for(holds: Callable[[], T]) -> T:
    deadline = time.monotonic() + 20
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_session_affinity_keeps_a_client_on_an_endpoint(world: World) -> None:
    affinity = {"clientIP": {"timeoutSeconds": 60}}
    world.service("sticky", "10.96.1.8", sessionAffinity="ClientIP", sessionAffinityConfig=affinity)
    world.endpoints("sticky", *world.backends)
    answers = names(world.ask(world.client.namespace, "10.96.1.8", times=20))
    assert len(set(answers)) == 1
    # Another change of the service does not disturb who is where.
    rest = [pod for pod in world.backends if pod.name != answers[0]]
    kept = next(pod for pod in world.backends if pod.name == answers[0])
    world.endpoints("sticky", kept, rest[0])
    assert names(world.ask(world.client.namespace, "10.96.1.8")) == answers[:1]
    world.endpoints("sticky", *rest)
    after = set(names(world.ask(world.client.namespace, "10.96.1.8", times=10)))
    assert len(after) == 1
    assert after < {pod.name for pod in rest}


def test_terminating_endpoints_serve_when_there_are_no_others(world: World) -> None:
    going = {"ready": False, "serving": True, "terminating": True}
    world.service("going", "10.96.1.9")
    world.endpoints("going", *world.backends, be0=going)
    answers = world.ask(world.client.namespace, "10.96.1.9", times=30)
    assert set(names(answers)) == {"be-1", "be-2"}
    world.endpoints("going", world.backends[0], be0=going)
    assert names(world.ask(world.client.namespace, "10.96.1.9")) == ["be-0"]


def test_a_udp_flow_moves_on_when_its_endpoint_goes(world: World) -> None:
    ports = [{"name": "http", "port": 53, "protocol": "UDP"}]
    world.service("udp", "10.96.1.10", ports=ports)
    world.endpoints("udp", world.backends[0], protocol="UDP")
    with one_udp_flow(world.client.namespace, "10.96.1.10") as ask:
        assert ask() == "be-0"
        world.endpoints("udp", world.backends[2], protocol="UDP")
        assert ask() == "be-2"


def test_traffic_that_leaves_the_cluster_has_the_nodes_address(world: World) -> None:
    outside = Pod("outside", str(world.machines.bridge.gateway), HOST)
    outside.serve("echo_server.py", "outside", "18099", outside.ip)
    try:
        answers = world.ask(world.client.namespace, outside.ip, 18099)
        assert answers == [f"outside {world.machines.nodes[0].link.address}"]
    finally:
        outside.stop()


def test_a_killed_agent_leaves_forwarding_in_place_and_a_new_one_takes_over(world: World) -> None:
    world.service("web", "10.96.1.1")
    world.endpoints("web", *world.backends)
    node = world.machines.nodes[0]
    node.kill()
    assert len(set(names(world.ask(world.client.namespace, "10.96.1.1", times=40)))) == 3
    # What nobody knows of any more goes with the first sync.
    run(node.namespace, "nft", "add", "chain", "ip", "sagong", "left-over")
    node.start()
    world.machines.tell_all(node)
    assert "left-over" not in run(node.namespace, "nft", "list", "chains", "ip")
    assert len(set(names(world.ask(world.client.namespace, "10.96.1.1", times=40)))) == 3


def test_someone_elses_damage_is_repaired_by_the_next_change(world: World) -> None:
    world.service("web", "10.96.1.1")
    world.endpoints("web", *world.backends)
    node = world.machines.nodes[0]
    run(node.namespace, "nft", "delete", "table", "ip", "sagong")
    world.endpoints("web", *world.backends[:2])  # refused: the table is gone
    world.machines.sync()  # a full one
    answers = world.ask(world.client.namespace, "10.96.1.1", times=30)
    assert set(names(answers)) == {"be-0", "be-1"}


def test_routes_follow_the_nodes_and_removal_leaves_nothing(world: World) -> None:
    first, second = world.machines.nodes
    assert second.cidrs[0] in run(first.namespace, "ip", "route")
    world.machines.delete("nodes", "", second.name)
    world.machines.sync()
    assert second.cidrs[0] not in run(first.namespace, "ip", "route")
    first.say({"remove": True})
    left = run(first.namespace, "ip", "addr") + run(first.namespace, "ip", "route")
    assert "sagong-cni0" not in left
    assert "10.96." not in left
    assert "10.244." not in left
    assert "sagong" not in run(first.namespace, "nft", "list", "tables")
    assert list((first.directory / "cni").iterdir()) == []
