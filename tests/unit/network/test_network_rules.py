"""Given services and slices, exactly these chains and map elements."""

from dataclasses import replace
from typing import Any

import pytest

from sagong.api.types import Key
from sagong.network.proxy.endpoints import Here, choose, endpoints_of
from sagong.network.proxy.rules import SPREAD_MAX, Config, frame, plan_port
from sagong.network.proxy.services import ServicePort, is_proxied, service_ports
from sagong.network.tables.family import IPV6
from sagong.network.tables.fragment import Fragment

Obj = dict[str, Any]
CONFIG = Config("10.244.0.0/16", "10.96.0.0/16", "sagong-cni0", frozenset({"10.96.0.10"}))
HERE = Here("a", "zone-1")


def service(ip: str = "10.96.0.20", **spec: Any) -> Obj:
    ports = spec.pop("ports", [{"name": "http", "port": 80, "protocol": "TCP"}])
    status = spec.pop("status", {})
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
        "status": status,
    }


def endpoint(ip: str, node: str = "a", **more: Any) -> Obj:
    return {"addresses": [ip], "nodeName": node, "conditions": {"ready": True}, **more}


def slice_(*endpoints: Obj, **more: Any) -> Obj:
    return {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
        **more,
    }


GOING = {"conditions": {"ready": False, "serving": True, "terminating": True}}
GONE = {"conditions": {"ready": False, "serving": False, "terminating": True}}
UNREADY = {"conditions": {"ready": False}}


def planned(obj: Obj, *slices: Obj, config: Config = CONFIG) -> Fragment:
    (port,) = service_ports(obj)
    return plan_port(port, choose(endpoints_of(slices, port), port, HERE), config)


def short(fragment: Fragment) -> dict[str, tuple[str, ...]]:
    """Chains with the hash and the service taken out of every name, which the eye trips over."""

    def strip(text: str) -> str:
        words = []
        for word in text.split(" "):
            role, found, rest = word.partition("-default/web/tcp/http")
            words.append(role.rpartition("-")[0] + rest if found else word)
        return " ".join(words)

    return {strip(name): tuple(map(strip, rules)) for name, rules in fragment.chains.items()}


def verdicts(fragment: Fragment) -> dict[tuple[str, str], str]:
    """Elements with the chains' names cut down to their role; those of no verdict left out."""
    return {
        key: value.split("-")[0] if "default/web" in value else value
        for key, value in fragment.elements.items()
        if key[0] not in ("cluster-ips", "endpoints", "hairpins", "balancer-ips")
    }


def test_a_plain_service_has_elements_only() -> None:
    fragment = planned(service(), slice_(endpoint("10.244.0.2"), endpoint("10.244.1.3", "b")))
    assert fragment == Fragment(
        elements={
            ("cluster-ips", "10.96.0.20"): "",
            ("hairpins", "10.244.0.2 . 10.244.0.2"): "",
            ("service-ips", "10.96.0.20 . tcp . 80"): "goto spread-2",
            ("endpoints", "10.96.0.20 . tcp . 80 . 0"): "10.244.0.2 . 8080",
            ("endpoints", "10.96.0.20 . tcp . 80 . 1"): "10.244.1.3 . 8080",
        }
    )


def test_very_many_endpoints_have_a_chain_of_their_own() -> None:
    many = [endpoint(f"10.244.0.{i + 1}") for i in range(SPREAD_MAX + 1)]
    fragment = planned(service(), slice_(*many))
    (rules,) = short(fragment).values()
    assert rules[0].startswith(
        f"meta l4proto tcp dnat ip addr . port to numgen random mod {len(many)} map {{ 0 : "
    )
    assert verdicts(fragment) == {("service-ips", "10.96.0.20 . tcp . 80"): "goto service"}


def test_a_node_port_draws_from_a_chain_for_whatever_address_it_is_reached_at() -> None:
    obj = service(type="NodePort", ports=[NODE_PORT])
    chains = short(planned(obj, slice_(endpoint("10.244.0.2"), endpoint("10.244.1.3", "b"))))
    assert chains == {
        "service": (
            "meta l4proto tcp dnat ip addr . port to numgen random mod 2 map"
            " { 0 : 10.244.0.2 . 8080, 1 : 10.244.1.3 . 8080 }",
        ),
        "external": ("jump mark-for-masquerade", "goto service"),
    }


def test_session_affinity_has_a_set_for_each_endpoint() -> None:
    obj = service(
        sessionAffinity="ClientIP",
        sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}},
    )
    fragment = planned(obj, slice_(endpoint("10.244.0.2")))
    assert short(fragment) == {
        "service": (
            "ip saddr @affinity-60__10.244.0.2/8080 goto endpoint__10.244.0.2/8080",
            "numgen random mod 1 vmap { 0 : goto endpoint__10.244.0.2/8080 }",
        ),
        "endpoint__10.244.0.2/8080": (
            "update @affinity-60__10.244.0.2/8080 { ip saddr }",
            "meta l4proto tcp dnat to 10.244.0.2:8080",
        ),
    }
    assert list(fragment.sets.values()) == ["type ipv4_addr; flags dynamic,timeout; timeout 60s;"]


NODE_PORT = {"name": "http", "port": 80, "protocol": "TCP", "nodePort": 30080}
BALANCED: Obj = {
    "type": "LoadBalancer",
    "ports": [NODE_PORT],
    "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.1"}]}},
}
IP, BALANCER, PORT = "10.96.0.20 . tcp . 80", "198.51.100.1 . tcp . 80", "tcp . 30080"
HERE_ONLY, THERE_ONLY = endpoint("10.244.0.2"), endpoint("10.244.1.3", "b")


@pytest.mark.parametrize(
    ("spec", "endpoints", "expected"),
    [
        pytest.param(
            {},
            [],
            {("no-endpoint-services", IP): "goto reject-chain"},
            id="no endpoints: refused",
        ),
        pytest.param(
            BALANCED,
            [],
            {
                ("no-endpoint-services", IP): "goto reject-chain",
                ("no-endpoint-services", BALANCER): "goto reject-chain",
                ("no-endpoint-nodeports", PORT): "goto reject-chain",
            },
            id="no endpoints: refused at every address",
        ),
        pytest.param(
            BALANCED,
            [THERE_ONLY],
            {
                ("service-ips", IP): "goto service",
                ("service-ips", BALANCER): "goto external",
                ("service-nodeports", PORT): "goto external",
            },
            id="endpoints anywhere serve every address",
        ),
        pytest.param(
            {**BALANCED, "externalTrafficPolicy": "Local"},
            [THERE_ONLY],
            {
                ("service-ips", IP): "goto service",
                ("service-ips", BALANCER): "goto external",
                ("service-nodeports", PORT): "goto external",
                ("no-endpoint-services", BALANCER): "drop",
                ("no-endpoint-nodeports", PORT): "drop",
            },
            id="external Local without a local endpoint drops what is not from inside",
        ),
        pytest.param(
            {"internalTrafficPolicy": "Local"},
            [THERE_ONLY],
            {("no-endpoint-services", IP): "drop"},
            id="internal Local without a local endpoint drops",
        ),
        pytest.param(
            {"internalTrafficPolicy": "Local"},
            [HERE_ONLY, THERE_ONLY],
            {("service-ips", IP): "goto spread-1"},
            id="internal Local",
        ),
        pytest.param(
            {**BALANCED, "loadBalancerSourceRanges": ["192.0.2.0/24"]},
            [HERE_ONLY],
            {
                ("service-ips", IP): "goto service",
                ("service-ips", BALANCER): "goto external",
                ("service-nodeports", PORT): "goto external",
                ("firewall-ips", BALANCER): "goto firewall",
            },
            id="source ranges guard the balancer's address only",
        ),
        pytest.param(
            {"externalIPs": ["203.0.113.9", "2001:db8::9"]},
            [HERE_ONLY],
            {
                ("service-ips", IP): "goto service",
                ("service-ips", "203.0.113.9 . tcp . 80"): "goto external",
            },
            id="external IPs, of version 4",
        ),
    ],
)
def test_where_addresses_lead(spec: Obj, endpoints: list[Obj], expected: Obj) -> None:
    assert verdicts(planned(service(**spec), slice_(*endpoints))) == expected


def test_an_external_local_policy_knows_inside_from_outside() -> None:
    obj = service(**{**BALANCED, "externalTrafficPolicy": "Local"})
    chains = short(planned(obj, slice_(HERE_ONLY, THERE_ONLY)))
    assert chains["external"] == (
        'ip saddr 10.244.0.0/16 iifname != "sagong-cni0" jump mark-for-masquerade',
        "ip saddr 10.244.0.0/16 goto service",
        "fib saddr type local jump mark-for-masquerade",
        "fib saddr type local goto service",
        "goto local",
    )
    assert "map { 0 : 10.244.0.2 . 8080 }" in chains["local"][0]
    assert "1 : 10.244.1.3 . 8080" in chains["service"][0]


def test_source_ranges_drop_all_others() -> None:
    obj = service(**{**BALANCED, "loadBalancerSourceRanges": ["192.0.2.0/24", "198.51.100.0/24"]})
    assert short(planned(obj, slice_(HERE_ONLY)))["firewall"] == (
        "ip saddr != { 192.0.2.0/24, 198.51.100.0/24 } drop",
    )


def test_an_address_that_the_node_answers_itself_is_not_refused() -> None:
    assert verdicts(planned(service("10.96.0.10"), slice_())) == {}
    elements = verdicts(planned(service("10.96.0.10"), slice_(HERE_ONLY)))
    assert elements == {("service-ips", "10.96.0.10 . tcp . 80"): "goto spread-1"}


@pytest.mark.parametrize(
    ("endpoints", "used"),
    [
        pytest.param([endpoint("1.1.1.1", **UNREADY)], [], id="unready"),
        pytest.param([endpoint("1.1.1.1", conditions={})], ["1.1.1.1"], id="unknown means ready"),
        pytest.param(
            [endpoint("1.1.1.1", **GOING), endpoint("1.1.1.2")], ["1.1.1.2"], id="ready ones first"
        ),
        pytest.param(
            [endpoint("1.1.1.1", **GOING), endpoint("1.1.1.2", **GONE)],
            ["1.1.1.1"],
            id="then those that serve while they go",
        ),
        pytest.param(
            [
                endpoint("1.1.1.1", hints={"forZones": [{"name": "zone-1"}]}),
                endpoint("1.1.1.2", hints={"forZones": [{"name": "zone-2"}]}),
            ],
            ["1.1.1.1"],
            id="zone hints",
        ),
        pytest.param(
            [endpoint("1.1.1.1", hints={"forZones": [{"name": "zone-1"}]}), endpoint("1.1.1.2")],
            ["1.1.1.1", "1.1.1.2"],
            id="hints that some lack are no hints",
        ),
        pytest.param(
            [
                endpoint("1.1.1.1", hints={"forNodes": [{"name": "a"}]}),
                endpoint("1.1.1.2", hints={"forNodes": [{"name": "b"}]}),
            ],
            ["1.1.1.1"],
            id="node hints",
        ),
        pytest.param(
            [endpoint("1.1.1.2", hints={"forZones": [{"name": "zone-2"}]})],
            ["1.1.1.2"],
            id="nothing for this zone: all",
        ),
    ],
)
def test_which_endpoints_are_used(endpoints: list[Obj], used: list[str]) -> None:
    (port,) = service_ports(service())
    chosen = choose(endpoints_of([slice_(*endpoints)], port), port, HERE)
    assert [e.ip for e in chosen.cluster] == used


def test_an_endpoint_in_two_slices_counts_once_and_as_ready() -> None:
    (port,) = service_ports(service())
    slices = [slice_(endpoint("1.1.1.1", **UNREADY)), slice_(endpoint("1.1.1.1"))]
    for order in (slices, slices[::-1]):
        (only,) = endpoints_of(order, port)
        assert only.ready


def test_slices_of_other_ports_and_families_are_not_ours() -> None:
    (port,) = service_ports(service())
    other_port = slice_(HERE_ONLY, ports=[{"name": "admin", "port": 9, "protocol": "TCP"}])
    other_protocol = slice_(HERE_ONLY, ports=[{"name": "http", "port": 9, "protocol": "UDP"}])
    other_family = slice_(endpoint("fd00::1"), addressType="IPv6")
    assert endpoints_of([other_port, other_protocol, other_family], port) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"clusterIP": "None"},
        {"clusterIP": ""},
        {"type": "ExternalName", "clusterIP": ""},
    ],
    ids=str,
)
def test_what_is_not_proxied(change: Obj) -> None:
    obj = service()
    obj["spec"] |= change
    assert not is_proxied(obj)
    assert service_ports(obj) == ()


def test_a_service_of_another_proxy_is_left_alone() -> None:
    obj = service()
    obj["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "other"}
    assert service_ports(obj) == ()


def test_what_is_taken_from_a_service() -> None:
    obj = service(
        type="LoadBalancer",
        ports=[{"port": 53, "protocol": "UDP", "nodePort": 30053}],
        clusterIPs=["fd00::1", "10.96.0.20"],
        externalTrafficPolicy="Local",
        status={
            "loadBalancer": {
                "ingress": [
                    {"ip": "198.51.100.1"},
                    {"ip": "198.51.100.2", "ipMode": "Proxy"},
                    {"hostname": "lb.example"},
                ]
            }
        },
    )
    annotation = "service.beta.kubernetes.io/load-balancer-source-ranges"
    obj["metadata"]["annotations"] = {annotation: "192.0.2.0/24, nonsense"}
    assert service_ports(obj) == (
        ServicePort(
            service=Key("default", "web"),
            name="",
            protocol="udp",
            port=53,
            cluster_ip="10.96.0.20",
            node_port=30053,
            load_balancer_ips=("198.51.100.1",),
            source_ranges=("192.0.2.0/24",),
            external_local=True,
        ),
    )


DUAL = Config("fd00:10:244::/48", "fd00:96::/112", "sagong-cni0", family=IPV6)


def test_a_service_of_both_families_has_rules_in_the_table_of_each() -> None:
    obj = service(
        clusterIPs=["10.96.0.20", "fd00:96::20"],
        type="LoadBalancer",
        sessionAffinity="ClientIP",
        externalIPs=["192.0.2.9", "2001:db8::9"],
        loadBalancerSourceRanges=["198.51.100.0/24", "2001:db8:1::/48"],
        status={"loadBalancer": {"ingress": [{"ip": "2001:db8::8"}, {"ip": "192.0.2.8"}]}},
    )
    (port,) = service_ports(obj, IPV6)
    of_ipv4 = slice_(endpoint("10.244.0.2"))
    slices = [of_ipv4, slice_(endpoint("fd00:10:244::2"), addressType="IPv6")]
    fragment = plan_port(port, choose(endpoints_of(slices, port, IPV6), port, HERE), DUAL)
    chains = short(fragment)
    # No identifier of nft may have a colon.
    assert all(":" not in name for name in (*fragment.chains, *fragment.sets))
    assert chains["endpoint__fd00.10.244..2/8080"] == (
        "update @affinity-10800__fd00.10.244..2/8080 { ip6 saddr }",
        "meta l4proto tcp dnat to [fd00:10:244::2]:8080",
    )
    assert chains["firewall"] == ("ip6 saddr != { 2001:db8:1::/48 } drop",)
    assert verdicts(fragment) == {
        ("service-ips", "fd00:96::20 . tcp . 80"): "goto service",
        ("service-ips", "2001:db8::9 . tcp . 80"): "goto external",
        ("service-ips", "2001:db8::8 . tcp . 80"): "goto external",
        ("firewall-ips", "2001:db8::8 . tcp . 80"): "goto firewall",
    }


def test_a_service_of_one_family_is_nothing_to_the_other() -> None:
    assert service_ports(service(), IPV6) == ()


@pytest.mark.parametrize(
    ("node_ip", "sources"),
    [
        ("", "198.51.100.0/24, 203.0.113.0/24"),
        ("192.0.2.1", "198.51.100.0/24, 203.0.113.0/24"),
        ("203.0.113.7", "198.51.100.0/24, 203.0.113.0/24, 192.0.2.8"),
    ],
)
def test_a_node_in_the_ranges_may_ask_from_the_balancer_s_address(
    node_ip: str, sources: str
) -> None:
    obj = service(
        type="LoadBalancer",
        loadBalancerSourceRanges=["203.0.113.0/24", "198.51.100.0/24", "203.0.113.0/28"],
        status={"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}},
    )
    config = replace(CONFIG, node_ip=node_ip)
    chains = short(planned(obj, slice_(endpoint("10.244.0.2")), config=config))
    assert chains["firewall"] == (f"ip saddr != {{ {sources} }} drop",)


def test_node_ports_are_reached_where_they_are_asked_for() -> None:
    everywhere = frame(CONFIG).chains["services"][-1]
    assert everywhere.startswith("fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto")
    some = replace(CONFIG, node_port_ranges=("192.0.2.0/24", "198.51.100.1"))
    for chain in ("services", "nodeport-endpoints-check"):
        assert " ip daddr { 192.0.2.0/24, 198.51.100.1 } meta" in frame(some).chains[chain][-1]
