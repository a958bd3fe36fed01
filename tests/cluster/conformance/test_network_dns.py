"""Cluster DNS from inside pods, as upstream's ``test/e2e/network/dns.go`` asks it."""

import asyncio

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.conformance.net_scene import (
    DNS,
    client,
    ip_of,
    looked,
    net_pod,
    resolved,
    run,
    servers,
    service,
    wait_records,
    wait_resolved,
)

HTTP = {"name": "http", "port": 80, "targetPort": 8080}


async def test_the_clusters_own_names_resolve_by_udp_and_tcp(space: Space) -> None:
    kubernetes = (await space.client.get("services", "kubernetes", namespace="default"))["spec"]
    own = {kubernetes["clusterIP"]}
    await client(space)
    full = "kubernetes.default.svc.cluster.local"
    for how in ((), ("tcp",)):
        await wait_records(space, "client", full, "A", own, *how)
        await wait_records(
            space, "client", f"_https._tcp.{full}", "SRV", {f"0 100 443 {full}."}, *how
        )
    for name in ("kubernetes.default", "kubernetes.default.svc", full):
        await wait_resolved(space, "client", name, own)


async def test_a_pods_own_names_are_in_its_hosts_file(space: Space) -> None:
    pod = net_pod("querier", hostname="dns-querier-1", subdomain="dns-test-service")
    (made,) = await run(space, pod)
    full = f"dns-querier-1.dns-test-service.{space.name}.svc.cluster.local"
    hosts = await space.shell("querier", "cat /etc/hosts")
    assert f"{ip_of(made)}\t{full}\tdns-querier-1" in hosts
    # No such service is there: DNS knows neither name.
    assert await looked(space, "querier", full, "A") == ["NXDOMAIN"]
    for name in (full, "dns-querier-1"):
        assert await resolved(space, "querier", name) == [ip_of(made)]


async def test_services_resolve_by_every_name_that_leads_to_them(space: Space) -> None:
    headless, made = await asyncio.gather(
        service(space, "headless", HTTP, clusterIP="None"), service(space, "plain", HTTP)
    )
    assert headless["spec"]["clusterIP"] == "None"
    pods, _ = await asyncio.gather(servers(space, 2, "http:8080"), client(space))
    ips, cluster_ip = {ip_of(pod) for pod in pods}, made["spec"]["clusterIP"]
    zone = f"{space.name}.svc.cluster.local"
    for name, addresses in (("headless", ips), ("plain", {cluster_ip})):
        for how in ((), ("tcp",)):
            await wait_records(space, "client", f"{name}.{zone}", "A", addresses, *how)
        # Partly qualified, by the search path.
        for short in (name, f"{name}.{space.name}", f"{name}.{space.name}.svc"):
            await wait_resolved(space, "client", short, addresses)
    targets = {f"{ip.replace('.', '-')}.headless.{zone}." for ip in ips}
    for how in ((), ("tcp",)):
        await wait_records(
            space, "client", f"_http._tcp.headless.{zone}", "SRV",
            {f"0 50 8080 {target}" for target in targets}, *how,
        )  # fmt: skip
        await wait_records(
            space, "client", f"_http._tcp.plain.{zone}", "SRV", {f"0 100 80 plain.{zone}."}, *how
        )
        await wait_records(space, "client", backwards(cluster_ip), "PTR", {f"plain.{zone}."}, *how)
    for ip in ips:
        target = f"{ip.replace('.', '-')}.headless.{zone}."
        await wait_records(space, "client", target, "A", {ip})
        found = await looked(space, "client", backwards(ip), "PTR")
        assert target in found
        name = f"{ip.replace('.', '-')}.{space.name}.pod.cluster.local"
        assert await looked(space, "client", name, "A") == ["NOERROR", ip]


def backwards(ip: str) -> str:
    return ".".join(reversed(ip.split("."))) + ".in-addr.arpa"


@pytest.mark.parametrize("asked", ["host", "service"])
async def test_a_pod_with_hostname_and_subdomain_has_a_name(space: Space, asked: str) -> None:
    await service(space, "dns-test-service-2", HTTP, clusterIP="None")
    pod = net_pod(
        "querier", "http:8080", labels={"app": "web"},
        hostname="dns-querier-2", subdomain="dns-test-service-2",
    )  # fmt: skip
    made, _ = await run(space, pod, net_pod("client"))
    own = f"dns-test-service-2.{space.name}.svc.cluster.local"
    full = f"dns-querier-2.{own}" if asked == "host" else own
    for how in ((), ("tcp",)):
        await wait_records(space, "client", full, "A", {ip_of(made)}, *how)
    for name in (full, full.removesuffix(".svc.cluster.local")):
        await wait_resolved(space, "client", name, {ip_of(made)})
    assert (await space.shell("querier", "hostname -f")).strip() == f"dns-querier-2.{own}"
    assert (await space.shell("querier", "hostname")).strip() == "dns-querier-2"
    assert f"0 100 8080 dns-querier-2.{own}." in await looked(
        space, "client", f"_http._tcp.{own}", "SRV"
    )


async def test_an_external_name_is_an_alias_until_the_service_has_an_address(space: Space) -> None:
    await service(space, "outside", type="ExternalName", externalName="foo.example.com")
    await client(space)
    own = f"outside.{space.name}.svc.cluster.local"
    await wait_records(space, "client", own, "CNAME", {"foo.example.com."})
    await space.patch("services", "outside", {"spec": {"externalName": "bar.example.com"}})
    await wait_records(space, "client", own, "CNAME", {"bar.example.com."}, "tcp")
    change = {"type": "ClusterIP", "externalName": None, "ports": [HTTP]}
    changed = await space.patch("services", "outside", {"spec": change})
    await wait_records(space, "client", own, "A", {changed["spec"]["clusterIP"]})
    await wait_records(space, "client", own, "CNAME", set())


async def test_a_pod_brings_its_own_resolvers_and_search_path(space: Space) -> None:
    own = {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]}
    options = [{"name": "ndots", "value": "2"}, {"name": "rotate"}]
    none = net_pod("none", dnsPolicy="None", dnsConfig={**own, "options": options})
    added = net_pod("added", dnsConfig={**own, "options": options})
    await run(space, none, added)
    assert (await space.shell("none", "cat /etc/resolv.conf")).splitlines() == [
        "search resolv.conf.local",
        "nameserver 1.1.1.1",
        "options ndots:2 rotate",
    ]
    lines = (await space.shell("added", "cat /etc/resolv.conf")).splitlines()
    search = f"search {space.name}.svc.cluster.local svc.cluster.local cluster.local"
    assert lines[0].startswith(search)
    assert lines[0].endswith(" resolv.conf.local")
    assert lines[1:3] == [f"nameserver {DNS}", "nameserver 1.1.1.1"]
    assert set(lines[3].split()) == {"options", "ndots:2", "rotate"}


async def test_unready_pods_have_names_only_where_they_are_published(space: Space) -> None:
    await service(space, "ready-only", HTTP, clusterIP="None")
    await service(space, "published", HTTP, clusterIP="None", publishNotReadyAddresses=True)
    never = {"readinessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1}}
    pod = net_pod("web-0", "http:8080", labels={"app": "web"}, container=never)
    made = await space.run(pod, lambda seen: bool((seen.get("status") or {}).get("podIP")))
    await client(space)
    zone = f"{space.name}.svc.cluster.local"
    await wait_records(space, "client", f"published.{zone}", "A", {ip_of(made)})
    assert await looked(space, "client", f"ready-only.{zone}", "A") == ["NXDOMAIN"]
