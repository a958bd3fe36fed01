"""Pods to pods, nodes to pods, and ports of nodes that lead to pods.

Follows upstream's ``test/e2e/common/network/networking.go`` and ``test/e2e/network/hostport.go``.
"""

import asyncio

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.conformance.net_scene import (
    asked,
    client,
    ip_of,
    net_pod,
    node_addresses,
    run,
    servers,
    wait_answers,
)


@pytest.mark.parametrize("protocol", ["http", "udp"])
@pytest.mark.parametrize("where", ["pod", "node"])
async def test_every_pod_is_reached_from(space: Space, where: str, protocol: str) -> None:
    """From a pod, and from a pod in the node's own network, on one node to those of all nodes."""
    spec = {"hostNetwork": True} if where == "node" else {}
    pods, _ = await asyncio.gather(
        servers(space, 3, "http:8083", "udp:8081"),
        client(space, nodeName=space.cluster.nodes[0], **spec),
    )
    port = 8083 if protocol == "http" else 8081
    source = (await space.get("pods", "client"))["status"]["podIP"]
    for made in pods:
        name = made["metadata"]["name"]
        await wait_answers(space, "client", protocol, ip_of(made), port, {name}, 3)
        if where == "pod":
            # Between pods no address is translated.
            told = await asked(space, "client", protocol, ip_of(made), port, 1, "clientip")
            assert told == [source]


async def test_one_host_port_is_given_by_address_and_protocol(space: Space) -> None:
    node = space.cluster.nodes[1]
    address = (await node_addresses(space))[node]
    pods = []
    for name, ip, protocol in (
        ("pod1", "127.0.0.1", "TCP"),
        ("pod2", address, "TCP"),
        ("pod3", address, "UDP"),
    ):
        port = {"containerPort": 8080, "hostPort": 54323, "hostIP": ip, "protocol": protocol}
        served = ("udp:8080",) if protocol == "UDP" else ("http:8080",)
        pods.append(net_pod(name, *served, nodeName=node, container={"ports": [port]}))
    own = client(space, nodeName=node, hostNetwork=True)
    await asyncio.gather(run(space, *pods), own, client(space, "elsewhere"))
    for protocol, ip, name in (
        ("http", "127.0.0.1", "pod1"),
        ("http", address, "pod2"),
        ("udp", address, "pod3"),
    ):
        await wait_answers(space, "client", protocol, ip, 54323, {name}, 3)
        if ip == address:
            await wait_answers(space, "elsewhere", protocol, ip, 54323, {name}, 3)


async def test_bandwidth_annotations_shape_a_pods_link(space: Space) -> None:
    pod = net_pod("slow", nodeName=space.cluster.nodes[0])
    limits = {"kubernetes.io/ingress-bandwidth": "7M", "kubernetes.io/egress-bandwidth": "9M"}
    pod["metadata"]["annotations"] = limits
    await run(space, pod)
    namespace = space.cluster.network_namespace(space.cluster.nodes[0])
    told = await asyncio.create_subprocess_exec(
        "nsenter", f"--net={namespace}", "tc", "qdisc", stdout=asyncio.subprocess.PIPE
    )
    disciplines = (await told.communicate())[0].decode()
    assert "rate 7Mbit" in disciplines
    assert "rate 9Mbit" in disciplines
