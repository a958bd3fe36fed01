"""Endpoints, slices, mirrors, addresses of load balancers: what stands behind a service."""

from typing import Any

import pytest

from sagong.api.address_pools import parse_pool
from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.controllers.core import endpoints, load_balancer, servicecidr
from sagong.controllers.discovery import endpointslice, mirroring
from sagong.controllers.discovery.backends import Backend, backends_of, families_of
from sagong.controllers.networking import ingress

from .objects import meta, pod


def service(name: str = "s", **spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    common = {"selector": {"app": "x"}, "ports": ports, "clusterIP": "10.96.0.9"}
    metadata = meta(name, labels={"team": "a"}, creationTimestamp="2026-01-01T00:00:00Z")
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": common | spec,
        "status": {},
    }


def backend(number: int, *, port: int | None = 8080, ready: bool = True, **more: Any) -> Obj:
    found = pod(f"p{number}", ready_for=60 if ready else None, **more)
    found["status"]["podIP"] = f"10.244.{number // 250}.{number % 250 + 1}"
    if port:
        found["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": port}]
    return found


def behind(found: Obj, *pods: Obj) -> list[Backend]:
    return [b for f in families_of(found) for b in backends_of(found, pods, {"n": "z"}, f)]


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("found", "publish", "wanted"),
    [
        (backend(0), False, (True, True, False)),
        (backend(0, ready=False), False, (False, False, False)),
        (backend(0, **GOING), False, (False, True, True)),
        (backend(0, ready=False), True, (True, False, False)),
        (backend(0, ready=False, **GOING), True, (True, False, True)),
    ],
)
def test_conditions_of_an_endpoint(
    found: Obj, publish: bool, wanted: tuple[bool, bool, bool]
) -> None:
    (one,) = behind(service(publishNotReadyAddresses=publish), found)
    assert (one.ready, one.serving, one.terminating) == wanted


def test_pods_without_address_or_life_are_none() -> None:
    ended, fresh = backend(0, phase="Succeeded"), backend(1)
    del fresh["status"]["podIP"]
    assert behind(service(), ended, fresh) == []


def test_a_headless_service_names_its_pods() -> None:
    found = backend(0)
    found["spec"] |= {"hostname": "zero", "subdomain": "s"}
    assert behind(service(clusterIP="None"), found)[0].hostname == "zero"
    assert behind(service("other"), found)[0].hostname == ""


def endpoints_of(found: Obj, *pods: Obj) -> Obj:
    made = endpoints.plan(endpoints.Seen(found, behind(found, *pods), None))
    assert made is not None
    assert endpoints.plan(endpoints.Seen(found, behind(found, *pods), made)) is None
    return made


def test_endpoints_are_grouped_by_what_their_ports_resolve_to() -> None:
    made = endpoints_of(service(), backend(0), backend(1, ready=False), backend(2, port=9090))
    shown = [
        (
            [a["ip"] for a in s.get("addresses", ())],
            [a["ip"] for a in s.get("notReadyAddresses", ())],
            s["ports"],
        )
        for s in made["subsets"]
    ]
    port = {"name": "http", "protocol": "TCP"}
    assert shown == [
        (["10.244.0.1"], ["10.244.0.2"], [port | {"port": 8080}]),
        (["10.244.0.3"], [], [port | {"port": 9090}]),
    ]
    assert made["metadata"]["labels"] == {
        "team": "a",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
    }


def test_more_endpoints_than_fit_are_cut_and_said_to_be() -> None:
    made = endpoints_of(service(), *[backend(i) for i in range(1001)])
    assert len(made["subsets"][0]["addresses"]) == 1000
    assert made["metadata"]["annotations"] == {endpoints.OVER_CAPACITY: "truncated"}


def slices_of(found: Obj, *pods: Obj, slices: list[Obj] | None = None) -> endpointslice.Plan:
    return endpointslice.plan(endpointslice.Seen(found, behind(found, *pods), slices or []))


def named(slices: list[Obj]) -> list[Obj]:
    return [
        deep_copy(s) | {"metadata": s["metadata"] | {"name": f"s-{i}"}}
        for i, s in enumerate(slices)
    ]


def test_slices_hold_a_hundred_and_change_no_more_than_they_must() -> None:
    pods = [backend(i) for i in range(205)]
    made = named(list(slices_of(service(), *pods).create))
    assert [len(s["endpoints"]) for s in made] == [100, 100, 5]
    again = slices_of(service(), *pods, slices=made)
    assert (again.create, again.update, again.delete) == ([], [], [])
    less = slices_of(service(), *pods[:1], *pods[2:], slices=made)
    assert [s["metadata"]["name"] for s in less.update] == ["s-0"]
    last = slices_of(service(), *pods[:200], slices=made)
    assert [s["metadata"]["name"] for s in last.delete] == ["s-2"]


def test_a_service_without_pods_has_an_empty_slice() -> None:
    (empty,) = slices_of(service()).create
    assert (empty["endpoints"], empty["ports"]) == ([], [])
    assert empty["metadata"]["labels"]["kubernetes.io/service-name"] == "s"


def test_a_pod_without_the_named_port_has_an_address_only() -> None:
    made = slices_of(service(), backend(0), backend(1, port=None)).create
    assert [(len(s["endpoints"]), len(s["ports"])) for s in made] == [(1, 1), (1, 0)]


@pytest.mark.parametrize(
    ("distribution", "wanted"),
    [
        ("", None),
        ("PreferClose", {"forZones": [{"name": "z"}]}),
        ("PreferSameNode", {"forZones": [{"name": "z"}], "forNodes": [{"name": "n"}]}),
    ],
)
def test_hints_follow_the_distribution(distribution: str, wanted: Obj | None) -> None:
    (made,) = slices_of(service(trafficDistribution=distribution), backend(0)).create
    assert made["endpoints"][0].get("hints") == wanted


def dual(number: int) -> Obj:
    found = backend(number)
    ips = [found["status"]["podIP"], f"fd00:10:244::{number + 1:x}"]
    found["status"]["podIPs"] = [{"ip": ip} for ip in ips]
    return found


def test_each_family_of_a_service_has_slices_of_its_own() -> None:
    found, pods = service(ipFamilies=["IPv4", "IPv6"]), [dual(0), dual(1), backend(2)]
    made = named(list(slices_of(found, *pods).create))
    shown = [(s["addressType"], [e["addresses"] for e in s["endpoints"]]) for s in made]
    assert shown == [
        ("IPv4", [["10.244.0.1"], ["10.244.0.2"], ["10.244.0.3"]]),
        ("IPv6", [["fd00:10:244::1"], ["fd00:10:244::2"]]),
    ]
    again = slices_of(found, *pods, slices=made)
    assert (again.create, again.update, again.delete) == ([], [], [])
    single = slices_of(service(ipFamilies=["IPv6"]), *pods, slices=made)
    assert [s["addressType"] for s in single.delete] == ["IPv4"]
    assert (single.create, single.update) == ([], [])


def test_endpoints_are_of_the_primary_family_alone() -> None:
    made = endpoints.plan(endpoints.Seen(service(), behind(service(), dual(0)), None))
    assert made is not None
    assert made["subsets"][0]["addresses"][0]["ip"] == "10.244.0.1"
    found = service(ipFamilies=["IPv6", "IPv4"])
    seen = endpoints.Seen(found, backends_of(found, [dual(0)], {}, families_of(found)[0]), None)
    made = endpoints.plan(seen)
    assert made is not None
    assert made["subsets"][0]["addresses"][0]["ip"] == "fd00:10:244::1"


def by_hand(*subsets: Obj, **more: Any) -> Obj:
    metadata = meta("s", **more)
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": metadata,
        "subsets": list(subsets),
    }


def test_endpoints_made_by_hand_are_mirrored_by_family() -> None:
    both = {
        "addresses": [{"ip": "10.0.0.1", "hostname": "one"}, {"ip": "fd00::1"}],
        "notReadyAddresses": [{"ip": "10.0.0.2"}],
        "ports": [{"port": 80}],
    }
    last_applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "mine": "1"}
    found = by_hand(both, labels={"a": "b"}, annotations=last_applied)
    made = named(list(mirroring.plan(mirroring.Seen(found, [])).create))
    shown = {s["addressType"]: s["endpoints"] for s in made}
    assert shown["IPv4"][0] == {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": True},
        "hostname": "one",
    }
    assert shown["IPv4"][1]["conditions"] == {"ready": False}
    assert [e["addresses"] for e in shown["IPv6"]] == [["fd00::1"]]
    metadata = made[0]["metadata"]
    assert metadata["annotations"] == {"mine": "1"}
    assert metadata["ownerReferences"][0]["kind"] == "Endpoints"
    again = mirroring.plan(mirroring.Seen(found, made))
    assert (again.create, again.update, list(again.delete)) == ([], [], [])
    assert mirroring.plan(mirroring.Seen(None, made)).delete == made


def node(name: str, *addresses: tuple[str, str], ready: bool = True, **labels: str) -> Obj:
    status = {
        "addresses": [{"type": t, "address": a} for t, a in addresses],
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    return {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}


NODES = [
    node("a", ("InternalIP", "10.0.0.1"), ("ExternalIP", "192.0.2.1")),
    node("b", ("InternalIP", "10.0.0.2"), ("InternalIP", "fd00::2")),
    node("c", ("InternalIP", "10.0.0.3"), ready=False),
]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, ["10.0.0.2", "192.0.2.1"]),
        ({"ipFamilies": ["IPv6"]}, ["fd00::2"]),
        ({"externalTrafficPolicy": "Local"}, ["10.0.0.2"]),
        ({"loadBalancerIP": "192.0.2.1"}, ["192.0.2.1"]),
        ({"type": "ClusterIP"}, []),
        ({"loadBalancerClass": "x.y/z"}, []),
    ],
)
def test_load_balancers_have_the_addresses_of_nodes(spec: Obj, wanted: list[str]) -> None:
    found = service(**{"type": "LoadBalancer"} | spec)
    seen = load_balancer.Seen(found, NODES, [], frozenset({"b"}))
    assert [i["ip"] for i in load_balancer.plan(seen).ingress] == wanted


def test_a_port_belongs_to_the_oldest() -> None:
    found, rival = service(type="LoadBalancer"), service("r", type="LoadBalancer")
    seen = load_balancer.Seen(found, NODES, [rival], frozenset())
    refused = load_balancer.plan(seen)
    assert (refused.ingress, refused.problem) == ((), "port 80/TCP is taken by service default/r")
    rival["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    assert load_balancer.plan(seen).ingress


POOLS = [parse_pool("192.0.2.10-192.0.2.11"), parse_pool("198.51.100.0/31")]


@pytest.mark.parametrize(
    ("spec", "current", "taken", "wanted"),
    [
        ({}, "", [], "192.0.2.10"),
        ({}, "", ["192.0.2.10"], "192.0.2.11"),
        ({}, "", ["192.0.2.10", "192.0.2.11"], "198.51.100.0"),
        ({}, "198.51.100.1", [], "198.51.100.1"),
        ({}, "10.0.0.2", [], "192.0.2.10"),
        ({"loadBalancerIP": "198.51.100.1"}, "192.0.2.10", [], "198.51.100.1"),
        ({"loadBalancerIP": "198.51.100.1"}, "", ["198.51.100.1"], ""),
        ({"loadBalancerIP": "203.0.113.1"}, "", [], ""),
        ({"ipFamilies": ["IPv6", "IPv4"]}, "", [], "192.0.2.10"),
        ({"ipFamilies": ["IPv6"]}, "", [], ""),
    ],
)
def test_pools_give_each_service_an_address(
    spec: Obj, current: str, taken: list[str], wanted: str
) -> None:
    def balanced(name: str, ip: str, **more: Any) -> Obj:
        made = service(name, type="LoadBalancer", **more)
        return made | {"status": {"loadBalancer": {"ingress": [{"ip": ip}] if ip else []}}}

    rivals = [balanced(f"r{i}", ip) for i, ip in enumerate(taken)]
    seen = load_balancer.Seen(balanced("s", current, **spec), NODES, rivals, frozenset())
    planned = load_balancer.plan(seen, POOLS)
    assert [i["ip"] for i in planned.ingress] == ([wanted] if wanted else [])
    assert bool(planned.problem) is not bool(wanted)


@pytest.mark.parametrize(
    "text", ["x", "10.0.0.2-10.0.0.1", "10.0.0.0/8", "10.0.0.1/24", "fd00::/64"]
)
def test_what_is_no_pool(text: str) -> None:
    with pytest.raises(ValueError):
        parse_pool(text)


def test_ingresses_of_ours_are_reached_at_nodes_that_are_ready() -> None:
    made = {"metadata": meta("i"), "spec": {"ingressClassName": "sagong"}}
    reached = ingress.plan(ingress.Seen(made, NODES))
    assert reached == [{"ip": "10.0.0.2"}, {"ip": "192.0.2.1"}]


def cidr(*ranges: str, **metadata: Any) -> Obj:
    return {"metadata": {"name": "c"} | metadata, "spec": {"cidrs": list(ranges)}}


OURS = {"finalizers": [servicecidr.FINALIZER]}


@pytest.mark.parametrize(
    ("found", "others", "wanted"),
    [
        (cidr("10.0.0.0/24"), [], servicecidr.Step.PROTECT),
        (cidr("10.0.0.0/24", **OURS), [], servicecidr.Step.READY),
        (cidr("10.0.0.0/24", **OURS, **GOING), [], servicecidr.Step.IN_USE),
        (
            cidr("10.0.0.0/24", **OURS, **GOING),
            [cidr("10.0.0.0/16")],
            servicecidr.Step.RELEASE,
        ),
        (cidr("10.9.0.0/24", **OURS, **GOING), [], servicecidr.Step.RELEASE),
    ],
)
def test_ranges_stay_while_addresses_are_theirs_alone(
    found: Obj, others: list[Obj], wanted: servicecidr.Step
) -> None:
    assert servicecidr.plan(servicecidr.Seen(found, others, ["10.0.0.7"])) is wanted
