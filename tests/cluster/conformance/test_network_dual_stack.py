"""Nodes, pods and services with addresses of both families.

Follows upstream's tests of dual-stack clusters (``test/e2e/network/dual_stack.go``).
"""

import asyncio

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.conformance.conftest import has_ipv6
from tests.cluster.conformance.net_scene import (
    client,
    net_pod,
    run,
    servers,
    service,
    slices_of,
    wait_answers,
    wait_records,
    wait_unanswered,
)

from sagong.api.types import Obj

pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this kernel has no IPv6")
DOMAIN = "svc.cluster.local"


@pytest.fixture
async def web(space: Space) -> Space:
    await asyncio.gather(servers(space, 3, "http:8080", "udp:8081"), client(space))
    return space


def families_of(addresses: list[str]) -> list[str]:
    return ["IPv6" if ":" in address else "IPv4" for address in addresses]


async def test_nodes_and_pods_have_addresses_of_both_families(space: Space) -> None:
    for item in (await space.client.list("nodes")).items:
        inside = [a for a in item.obj["status"]["addresses"] if a["type"] == "InternalIP"]
        assert families_of([a["address"] for a in inside]) == ["IPv4", "IPv6"]
        assert families_of(item.obj["spec"]["podCIDRs"]) == ["IPv4", "IPv6"]
    fields = {name: {"fieldRef": {"fieldPath": f"status.{name}"}} for name in ("podIPs", "hostIPs")}
    environment = [{"name": name, "valueFrom": source} for name, source in fields.items()]
    (found,) = await run(space, net_pod("one", container={"env": environment}))
    status = found["status"]
    for name in fields:
        ips = [entry["ip"] for entry in status[name]]
        assert families_of(ips) == ["IPv4", "IPv6"]
        assert await space.shell("one", f"printenv {name}") == ",".join(ips) + "\n"
    assert (status["podIP"], status["hostIP"]) == tuple(status[n][0]["ip"] for n in fields)


@pytest.mark.parametrize("families", [["IPv6"], ["IPv6", "IPv4"]], ids=["ipv6", "dual"])
async def test_a_service_is_reached_at_its_addresses(web: Space, families: list[str]) -> None:
    policy = "SingleStack" if len(families) == 1 else "RequireDualStack"
    ports: list[Obj] = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "udp", "port": 90, "targetPort": 8081, "protocol": "UDP"},
    ]
    fields = {"ipFamilies": families, "ipFamilyPolicy": policy, "type": "NodePort"}
    made = await service(web, "web", *ports, **fields)
    spec = made["spec"]
    assert families_of(spec["clusterIPs"]) == families
    names = {f"web-{i}" for i in range(3)}
    for ip in spec["clusterIPs"]:
        await wait_answers(web, "client", "http", ip, 80, names)
        await wait_answers(web, "client", "udp", ip, 90, names)
        kind = "AAAA" if ":" in ip else "A"
        await wait_records(web, "client", f"web.{web.name}.{DOMAIN}", kind, {ip})
    slices = await slices_of(web, "web")
    assert {s["addressType"] for s in slices} == set(families)
    for node in (await web.client.list("nodes")).items:
        for address in node.obj["status"]["addresses"]:
            if address["type"] == "InternalIP" and families_of([address["address"]])[0] in families:
                port = spec["ports"][0]["nodePort"]
                await wait_answers(web, "client", "http", address["address"], port, names)


async def test_a_service_gets_and_gives_up_its_second_address(web: Space) -> None:
    made = await service(web, "web")
    assert families_of(made["spec"]["clusterIPs"]) == ["IPv4"]
    change = {"spec": {"ipFamilyPolicy": "PreferDualStack"}}
    second = (await web.patch("services", "web", change))["spec"]["clusterIPs"][1]
    names = {f"web-{i}" for i in range(3)}
    await wait_answers(web, "client", "http", second, 80, names)
    single = await web.patch("services", "web", {"spec": {"ipFamilyPolicy": "SingleStack"}})
    assert families_of(single["spec"]["clusterIPs"]) == ["IPv4"]
    await wait_unanswered(web, "client", "http", second, 80)
    await wait_answers(web, "client", "http", made["spec"]["clusterIP"], 80, names)
    assert [s["addressType"] for s in await slices_of(web, "web")] == ["IPv4"]
