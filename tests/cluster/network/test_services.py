"""Service addresses between pods, nodes and the host, in the kernel."""

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from .machines import HERE, Machines, Obj, Pod, run

pytestmark = pytest.mark.cluster

SLICES = "endpointslices.discovery.k8s.io"


@dataclass
class World:
    machines: Machines
    backends: list[Pod]  # be-0 and be-1 on the first node, be-2 on the second
    client: Pod  # on the first node

    def service(self, name: str, ip: str, **spec: object) -> None:
        ports = spec.pop("ports", [{"name": "http", "port": 80, "protocol": "TCP"}])
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
