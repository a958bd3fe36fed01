"""Services as clients in pods meet them: every type, changed into every other; affinity; ports.

Follows what upstream's conformance tests of services do (``test/e2e/network/service.go``).
"""

import asyncio
import contextlib
import socket
from typing import Any

import aiohttp
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
    service,
    slices_of,
    wait_answers,
    wait_records,
    wait_unanswered,
)

from sagong.api.types import Obj

HTTP = {"name": "http", "port": 80, "targetPort": 8080}


async def reached(space: Space, made: Obj, names: set[str], pod_name: str = "client") -> None:
    """A service by its name, its cluster IP and, if it has one, its node port on every node."""
    port = made["spec"]["ports"][0]["port"]
    await wait_answers(space, pod_name, "http", made["metadata"]["name"], port, names)
    await wait_answers(space, pod_name, "http", made["spec"]["clusterIP"], port, names)
    if node_port := made["spec"]["ports"][0].get("nodePort"):
        for address in (await node_addresses(space)).values():
            await wait_answers(space, pod_name, "http", address, node_port, names)


async def test_a_node_port_is_reached_by_name_address_and_every_node(space: Space) -> None:
    made = await service(space, "web", HTTP, type="NodePort")
    await asyncio.gather(servers(space, 2, "http:8080"), client(space))
    assert 30000 <= made["spec"]["ports"][0]["nodePort"] <= 32767
    await reached(space, made, {"web-0", "web-1"})


async def test_an_external_name_becomes_a_cluster_ip(space: Space) -> None:
    made = await service(space, "web", type="ExternalName", externalName="foo.example.com")
    assert "clusterIP" not in made["spec"]
    await asyncio.gather(servers(space, 2, "http:8080"), client(space))
    change = {"type": "ClusterIP", "externalName": None, "ports": [HTTP]}
    changed = await space.patch("services", "web", {"spec": change})
    assert changed["spec"]["clusterIP"]
    assert "externalName" not in changed["spec"]
    await reached(space, changed, {"web-0", "web-1"})


async def test_an_external_name_becomes_a_node_port(space: Space) -> None:
    await service(space, "web", type="ExternalName", externalName="foo.example.com")
    await asyncio.gather(servers(space, 2, "http:8080"), client(space))
    change = {"type": "NodePort", "externalName": None, "ports": [HTTP]}
    changed = await space.patch("services", "web", {"spec": change})
    assert changed["spec"]["ports"][0]["nodePort"]
    await reached(space, changed, {"web-0", "web-1"})


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
async def test_a_service_becomes_an_external_name(space: Space, kind: str) -> None:
    made = await service(space, "web", HTTP, type=kind)
    target = await service(space, "target", HTTP)
    await asyncio.gather(servers(space, 1, "http:8080"), client(space))
    await reached(space, made, {"web-0"})
    name = f"target.{space.name}.svc.cluster.local"
    change = {"type": "ExternalName", "externalName": name, "clusterIP": None, "clusterIPs": None}
    changed = await space.patch("services", "web", {"spec": change})
    assert not {"clusterIP", "clusterIPs"} & changed["spec"].keys()
    assert not any("nodePort" in port for port in changed["spec"].get("ports") or ())
    own = f"web.{space.name}.svc.cluster.local"
    await wait_records(space, "client", own, "CNAME", {f"{name}."})
    await wait_records(space, "client", own, "A", {target["spec"]["clusterIP"]})
    if kind == "NodePort":
        # The port is free again.
        freed = {**HTTP, "nodePort": made["spec"]["ports"][0]["nodePort"]}
        again = await service(space, "again", freed, type="NodePort")
        assert again["spec"]["ports"][0]["nodePort"] == freed["nodePort"]


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort"])
async def test_affinity_keeps_a_client_and_can_be_switched(space: Space, kind: str) -> None:
    made = await service(space, "web", HTTP, type=kind, sessionAffinity="ClientIP")
    assert made["spec"]["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"] == 10800
    await asyncio.gather(servers(space, 3, "http:8080"), client(space))
    everyone = {"web-0", "web-1", "web-2"}
    host, port = made["spec"]["clusterIP"], 80
    if kind == "NodePort":
        host = next(iter((await node_addresses(space)).values()))
        port = made["spec"]["ports"][0]["nodePort"]
    first = await kept(space, host, port)
    await space.patch("services", "web", {"spec": {"sessionAffinity": "None"}})
    await wait_answers(space, "client", "http", host, port, everyone)
    changed = await space.patch("services", "web", {"spec": {"sessionAffinity": "ClientIP"}})
    assert changed["spec"]["sessionAffinity"] == "ClientIP"
    assert {first, await kept(space, host, port)} <= everyone


async def kept(space: Space, host: str, port: int) -> str:
    """The one that answers every question of a round, once there is one."""
    async with asyncio.timeout(60):
        while True:
            answers = await asked(space, "client", "http", host, port, 30)
            if len(set(answers)) == 1 and not answers[0].startswith("error"):
                return answers[0]


async def test_endpoints_come_and_go_with_their_pods(space: Space) -> None:
    await service(space, "web", {"port": 80, "targetPort": 8080})
    await wait_endpoints(space, {})
    await client(space)
    first, second = (net_pod(f"web-{i}", "http:8080", labels={"app": "web"}) for i in range(2))
    (made,) = await run(space, first)
    await wait_endpoints(space, {ip_of(made): [8080]})
    await wait_answers(space, "client", "http", "web", 80, {"web-0"})
    (other,) = await run(space, second)
    await wait_endpoints(space, {ip_of(made): [8080], ip_of(other): [8080]})
    await wait_answers(space, "client", "http", "web", 80, {"web-0", "web-1"})
    await space.delete("pods", "web-0")
    await wait_endpoints(space, {ip_of(other): [8080]})
    await wait_answers(space, "client", "http", "web", 80, {"web-1"})
    await space.delete("pods", "web-1")
    await wait_endpoints(space, {})
    await wait_unanswered(space, "client", "http", "web", 80)


async def wait_endpoints(space: Space, expected: dict[str, list[int]]) -> None:
    """Endpoints and EndpointSlices of the service ``web`` agree on ready addresses and ports."""
    seen: tuple[Any, Any] = (None, None)
    try:
        async with asyncio.timeout(60):
            while seen != (expected, expected):
                endpoints = await space.listed("endpoints", field_selector="metadata.name=web")
                seen = (of_endpoints(endpoints), of_slices(await slices_of(space, "web")))
    except TimeoutError:
        pytest.fail(f"endpoints and slices have {seen}, not {expected}")


def of_endpoints(found: list[Obj]) -> dict[str, list[int]] | None:
    if not found:
        return None
    ports: dict[str, list[int]] = {}
    for subset in found[0].get("subsets") or ():
        for address in subset.get("addresses") or ():
            ports.setdefault(address["ip"], []).extend(p["port"] for p in subset["ports"])
    return {ip: sorted(numbers) for ip, numbers in ports.items()}


def of_slices(found: list[Obj]) -> dict[str, list[int]] | None:
    if not found:
        return None
    ports: dict[str, list[int]] = {}
    for piece in found:
        for entry in piece.get("endpoints") or ():
            if entry["conditions"]["ready"]:
                numbers = [p["port"] for p in piece["ports"]]
                ports.setdefault(entry["addresses"][0], []).extend(numbers)
    return {ip: sorted(numbers) for ip, numbers in ports.items()}


async def test_each_port_has_the_pods_that_declare_it(space: Space) -> None:
    ports = [
        {"name": "portname1", "port": 80, "targetPort": "foo"},
        {"name": "portname2", "port": 81, "targetPort": "bar"},
    ]
    await service(space, "web", *ports)
    await wait_endpoints(space, {})
    named: list[Obj] = []
    for name, number in (("foo", 100), ("bar", 101)):
        container = {"ports": [{"name": name, "containerPort": number}]}
        named.append(
            net_pod(f"web-{name}", f"http:{number}", labels={"app": "web"}, container=container)
        )
    await client(space)
    (first,) = await run(space, named[0])
    await wait_endpoints(space, {ip_of(first): [100]})
    (second,) = await run(space, named[1])
    await wait_endpoints(space, {ip_of(first): [100], ip_of(second): [101]})
    await wait_answers(space, "client", "http", "web", 80, {"web-foo"})
    await wait_answers(space, "client", "http", "web", 81, {"web-bar"})
    await space.delete("pods", "web-foo")
    await wait_endpoints(space, {ip_of(second): [101]})
    await space.delete("pods", "web-bar")
    await wait_endpoints(space, {})


async def test_one_port_number_serves_two_protocols_until_one_is_taken_away(space: Space) -> None:
    tcp = {"name": "tcp", "port": 80, "protocol": "TCP", "targetPort": 8080}
    udp = {"name": "udp", "port": 80, "protocol": "UDP", "targetPort": 8080}
    made = await service(space, "web", tcp, udp)
    await asyncio.gather(servers(space, 1, "http:8080", "udp:8080"), client(space))
    address = made["spec"]["clusterIP"]

    async def expect(http: bool, udp: bool) -> None:
        for protocol, serves in (("http", http), ("udp", udp)):
            if serves:
                await wait_answers(space, "client", protocol, address, 80, {"web-0"}, 3)
            else:
                await wait_unanswered(space, "client", protocol, address, 80)

    await expect(http=True, udp=True)
    await space.patch("services", "web", {"spec": {"ports": [tcp]}})
    await expect(http=True, udp=False)
    await space.patch("services", "web", {"spec": {"ports": [udp]}})
    await expect(http=False, udp=True)


async def test_the_node_refuses_what_no_endpoint_serves(space: Space) -> None:
    made = await service(space, "web", HTTP, type="NodePort")
    await client(space)
    address = next(iter((await node_addresses(space)).values()))
    for host, port in (
        (made["spec"]["clusterIP"], 80),
        (address, made["spec"]["ports"][0]["nodePort"]),
    ):
        async with asyncio.timeout(30):
            while "refused" not in (await asked(space, "client", "http", host, port))[0]:
                pass


async def test_a_balancer_is_told_which_nodes_have_the_service(space: Space) -> None:
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    made = await service(space, "web", {"port": 8099, "targetPort": 8080}, **spec)
    port = made["spec"]["healthCheckNodePort"]
    await servers(space, 1, "http:8080")
    addresses = await node_addresses(space)
    expected = {node: int(node == space.cluster.nodes[0]) for node in addresses}
    seen: dict[str, int] = {}
    async with asyncio.timeout(60), aiohttp.ClientSession() as http:
        while seen != expected:
            for node, address in addresses.items():
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"http://{address}:{port}/") as answer:
                        seen[node] = (await answer.json())["localEndpoints"]
                        assert answer.status == (200 if seen[node] else 503)
        for address in addresses.values():
            async with http.get(f"http://{address}:10256/healthz") as answer:
                assert answer.status == 200
                assert (await answer.json())["nodeEligible"] is True
    await space.patch("services", "web", {"spec": {"externalTrafficPolicy": "Cluster"}})
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, port)
            except OSError:
                break
            writer.close()


async def test_endpoints_in_the_nodes_network_serve_too(space: Space) -> None:
    made = await service(space, "web", {"port": 80, "targetPort": 18080}, type="NodePort")
    await asyncio.gather(servers(space, 2, "http:18080", hostNetwork=True), client(space))
    # Such pods have the machine's name.
    await reached(space, made, {socket.gethostname()})


async def test_traffic_prefers_its_own_node(space: Space) -> None:
    distribution = {"trafficDistribution": "PreferSameNode"}
    made = await service(space, "web", HTTP, **distribution)
    nodes = space.cluster.nodes
    await servers(space, 2, "http:8080")
    near, far = (net_pod(f"client-{i}", nodeName=nodes[i]) for i in (1, 2))
    await run(space, near, far)
    address = made["spec"]["clusterIP"]
    await wait_answers(space, "client-1", "http", address, 80, {"web-1"})
    # Where there is none, any will do.
    await wait_answers(space, "client-2", "http", address, 80, {"web-0", "web-1"})


async def test_endpoints_follow_a_hundred_new_services_within_their_time(space: Space) -> None:
    """Upstream's thresholds: 20 s for the median, 50 s for the 90th percentile."""
    await servers(space, 1, "http:8080")
    loop = asyncio.get_running_loop()

    async def latency(index: int) -> float:
        began = loop.time()
        await service(space, f"svc-{index}")
        await space.wait("endpoints", f"svc-{index}", lambda found: bool(found.get("subsets")))
        return loop.time() - began

    latencies: list[float] = []
    for start in range(0, 100, 20):
        latencies += await asyncio.gather(*(latency(start + i) for i in range(20)))
    latencies.sort()
    assert latencies[49] < 20
    assert latencies[89] < 50
