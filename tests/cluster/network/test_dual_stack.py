"""Both address families at once: services, names and routes of IPv6 beside those of IPv4."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .machines import HERE, Machines, Obj, Pod, one_udp_flow, run

pytestmark = pytest.mark.cluster

SLICES = "endpointslices.discovery.k8s.io"
POLICIES = "networkpolicies.networking.k8s.io"
HTTP = {"name": "http", "port": 80, "protocol": "TCP"}
DNS_IP = "fd00:10:96::a"
SECONDS_MAX = 20


@dataclass
class World:
    machines: Machines
    backends: list[Pod]  # be-0 on the first node, be-1 on the second
    client: Pod  # on the first node

    def service(self, name: str, number: int, **spec: object) -> str:
        """Its address of IPv6; that of IPv4 has the same number."""
        ips = [f"10.96.1.{number}", f"fd00:10:96::{number:x}"]
        ports = spec.pop("ports", [HTTP])
        obj = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"clusterIP": ips[0], "clusterIPs": ips, "ports": ports, **spec},
        }
        self.machines.put("services", obj)
        return ips[1]

    def endpoints(self, service: str, *pods: Pod, protocol: str = "TCP") -> None:
        nodes = {p.name: n.name for n in self.machines.nodes for p in n.pods}
        for family in ("IPv4", "IPv6"):
            metadata: Obj = {"name": f"{service}-{family}", "namespace": "default"}
            metadata["labels"] = {"kubernetes.io/service-name": service}
            endpoints = [
                {
                    "addresses": [pod.ip if family == "IPv4" else pod.ipv6],
                    "nodeName": nodes[pod.name],
                    "conditions": {"ready": True},
                }
                for pod in pods
            ]
            ports = [{"name": "http", "port": 8080, "protocol": protocol}]
            slice_ = {"metadata": metadata, "addressType": family, "ports": ports}
            self.machines.put(SLICES, {**slice_, "endpoints": endpoints})
        self.machines.sync()

    def ask(self, namespace: Path, address: str, port: int = 80, times: int = 1) -> list[str]:
        client = str(HERE / "request_client.py")
        output = run(namespace, sys.executable, client, "tcp", address, str(port), str(times))
        return output.splitlines()


@pytest.fixture(scope="module")
def world(dual_machines: Machines) -> World:
    first, second = dual_machines.nodes
    dual_machines.put("namespaces", {"metadata": {"name": "default", "labels": {}}})
    backends = [first.pod("be-0"), second.pod("be-1")]
    for pod in backends:
        pod.serve("echo_server.py", pod.name, "8080")
    return World(dual_machines, backends, first.pod("client"))


def names(answers: list[str]) -> set[str]:
    return {answer.split()[0] for answer in answers}


def test_pods_reach_each_other_across_nodes_under_their_own_addresses(world: World) -> None:
    for pod in world.backends:
        assert pod.ipv6.startswith("fd00:10:244:")
        answer = world.ask(world.client.namespace, pod.ipv6, 8080)
        assert answer == [f"{pod.name} {world.client.ipv6}"]
        assert world.ask(world.client.namespace, pod.ip, 8080) == [f"{pod.name} {world.client.ip}"]


def test_a_service_of_both_families_is_reached_by_both(world: World) -> None:
    ip = world.service("web", 1)
    world.endpoints("web", *world.backends)
    for address in (ip, "10.96.1.1"):
        for namespace in (world.client.namespace, *(n.namespace for n in world.machines.nodes)):
            assert names(world.ask(namespace, address, times=40)) == {"be-0", "be-1"}
    # A pod keeps its address, also when it asks itself.
    own = world.backends[0]
    assert set(world.ask(world.client.namespace, ip, times=10)) <= {
        f"{pod.name} {world.client.ipv6}" for pod in world.backends
    }
    assert "be-0" in names(world.ask(own.namespace, ip, times=40))


def test_ports_of_nodes_policies_affinity_and_refusals(world: World) -> None:
    first, second = world.machines.nodes
    affinity = {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    ip = world.service(
        "local",
        2,
        type="NodePort",
        externalTrafficPolicy="Local",
        ports=[{**HTTP, "nodePort": 30002}],
    )
    world.endpoints("local", world.backends[0])
    outside, where = Path("/proc/self/ns/net"), str(world.machines.bridge.ipv6_gateway)
    addresses = [str(node.link.ipv6_address) for node in (first, second)]
    assert world.ask(outside, addresses[0], 30002) == [f"be-0 {where}"]
    assert world.ask(outside, addresses[1], 30002) == ["timeout"]
    assert names(world.ask(world.client.namespace, addresses[1], 30002)) == {"be-0"}
    world.endpoints("local")
    assert world.ask(outside, addresses[0], 30002) == ["refused"]
    assert world.ask(world.client.namespace, ip) == ["refused"]
    assert world.ask(first.namespace, ip) == ["refused"]
    sticky = world.service("sticky", 3, sessionAffinity="ClientIP", **affinity)
    world.endpoints("sticky", *world.backends)
    assert len(names(world.ask(world.client.namespace, sticky, times=20))) == 1
    assert world.ask(world.client.namespace, sticky, 81) == ["refused"]


def test_a_udp_flow_moves_on_when_its_endpoint_goes(world: World) -> None:
    ip = world.service("udp", 4, ports=[{"name": "http", "port": 53, "protocol": "UDP"}])
    world.endpoints("udp", world.backends[0], protocol="UDP")
    with one_udp_flow(world.client.namespace, ip) as ask:
        for index in (0, 1):
            world.endpoints("udp", world.backends[index], protocol="UDP")
            assert ask() == f"be-{index}"


def test_names_have_addresses_of_both_families(world: World) -> None:
    world.service("web", 1)
    world.machines.sync()
    for server in (DNS_IP, "10.96.0.10"):
        for type_, address in (("A", "10.96.1.1"), ("AAAA", "fd00:10:96::1")):
            name = "web.default.svc.cluster.local"
            client = [sys.executable, str(HERE / "dns_client.py"), server, name, type_]
            assert run(world.client.namespace, *client).split()[1:] == [address]


def test_a_policy_guards_both_addresses(world: World) -> None:
    guarded, client = world.backends[1], world.client
    pods = {guarded.name: guarded, client.name: client}
    nodes = {p.name: n.name for n in world.machines.nodes for p in n.pods}
    for name, pod in pods.items():
        world.machines.put(
            "pods",
            {
                "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
                "spec": {"nodeName": nodes[name], "containers": []},
                "status": {"podIP": pod.ip, "podIPs": [{"ip": pod.ip}, {"ip": pod.ipv6}]},
            },
        )
    policy: Obj = {
        "metadata": {"name": "closed", "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"app": "be-1"}}, "policyTypes": ["Ingress"]},
    }
    both = (guarded.ip, guarded.ipv6)
    world.machines.put(POLICIES, policy)
    world.machines.sync()
    try:
        wait_for(
            lambda: [world.ask(client.namespace, ip, 8080) for ip in both] == [["timeout"]] * 2
        )
        peers = [{"ipBlock": {"cidr": f"{client.ipv6}/128"}}]
        spec = {**policy["spec"], "ingress": [{"from": peers}]}
        world.machines.put(POLICIES, {**policy, "spec": spec})
        world.machines.sync()
        wait_for(lambda: names(world.ask(client.namespace, guarded.ipv6, 8080)) == {"be-1"})
        assert world.ask(client.namespace, guarded.ip, 8080) == ["timeout"]
    finally:
        world.machines.delete(POLICIES, "default", "closed")
        world.machines.sync()
    wait_for(lambda: names(world.ask(client.namespace, guarded.ip, 8080)) == {"be-1"})


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_removal_leaves_nothing_of_either_family(world: World) -> None:
    first, _ = world.machines.nodes
    assert "fd00:10:244:1::/64" in run(first.namespace, "ip", "-6", "route")
    first.say({"remove": True})
    left = run(first.namespace, "ip", "addr") + run(first.namespace, "ip", "-6", "route")
    assert "fd00:10:" not in left
    assert "sagong" not in run(first.namespace, "nft", "list", "tables")
