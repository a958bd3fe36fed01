"""Endpoints and EndpointSlices: made from pods, mirrored, written by hand, of the API server.

Follows upstream's ``test/e2e/network/endpointslice*.go``, ``endpoints.go`` and ``apiserver.go``.
"""

import asyncio
from collections.abc import Callable

import pytest
from tests.cluster.conformance.cluster import Space
from tests.cluster.conformance.net_scene import (
    SERVICE_LABEL,
    SLICES,
    client,
    ip_of,
    net_pod,
    run,
    service,
    slices_of,
    wait_answers,
)
from tests.cluster.manifests import shell

from sagong.api.types import Obj

MANAGED = "endpointslice.kubernetes.io/managed-by"


async def wait_slices(space: Space, name: str, holds: Callable[[list[Obj]], bool]) -> list[Obj]:
    found: list[Obj] = []
    try:
        async with asyncio.timeout(60):
            while True:
                found = await slices_of(space, name)
                if holds(found):
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"slices of {name} are {found}")


async def test_the_api_server_is_behind_the_service_kubernetes(space: Space) -> None:
    made = await space.client.get("services", "kubernetes", namespace="default")
    assert made["spec"]["ports"][0] | {"name": "https", "port": 443} == made["spec"]["ports"][0]
    endpoints = await space.client.get("endpoints", "kubernetes", namespace="default")
    (subset,) = endpoints["subsets"]
    listing = await space.client.list(
        SLICES, namespace="default", label_selector=f"{SERVICE_LABEL}=kubernetes"
    )
    (piece,) = (item.obj for item in listing.items)
    assert piece["addressType"] == "IPv4"
    in_slices = [address for entry in piece["endpoints"] for address in entry["addresses"]]
    assert [address["ip"] for address in subset["addresses"]] == in_slices != []
    assert [p["port"] for p in subset["ports"]] == [p["port"] for p in piece["ports"]]
    # And it is reached there, by name, from a pod.
    await run(space, net_pod("client"))
    told = await space.shell(
        "client", "wget -qO- --no-check-certificate https://kubernetes.default/livez"
    )
    assert told == "ok"
    environment = await space.shell("client", "env")
    for line in (
        f"KUBERNETES_SERVICE_HOST={made['spec']['clusterIP']}",
        "KUBERNETES_SERVICE_PORT=443",
        "KUBERNETES_SERVICE_PORT_HTTPS=443",
        f"KUBERNETES_PORT=tcp://{made['spec']['clusterIP']}:443",
        f"KUBERNETES_PORT_443_TCP_ADDR={made['spec']['clusterIP']}",
    ):
        assert line in environment.splitlines()


async def test_pods_become_endpoints_of_the_services_that_select_them(space: Space) -> None:
    spec = {"publishNotReadyAddresses": True}
    first = [{"name": "example", "port": 80, "targetPort": 3000}]
    named = [{"name": "example", "port": 80, "targetPort": "example-name"}]
    other = [
        {"name": "other", "port": 80, "targetPort": "other-port"},
        {"name": "example", "port": 81, "targetPort": "example-name"},
    ]
    await asyncio.gather(
        service(space, "by-number", *first, selector={"foo": "bar", "baz": "qux"}, **spec),
        service(space, "by-name", *named, selector={"foo": "bar"}, **spec),
        service(space, "both", *other, selector={"foo": "bar"}, **spec),
    )
    sleeping = shell("sleep 100000", name="c")
    example = {"name": "example-name", "containerPort": 3000}
    pods = await run(
        space,
        net_pod("one", labels={"foo": "bar", "baz": "qux"}, container={"ports": [example]}),
        net_pod(
            "two",
            labels={"foo": "bar"},
            container={
                **sleeping,
                "ports": [
                    {**example, "containerPort": 3001},
                    {"name": "other-port", "containerPort": 3002},
                ],
            },
        ),
    )
    one, two = map(ip_of, pods)
    expected = {
        "by-number": {one: {("example", 3000)}},
        "by-name": {one: {("example", 3000)}, two: {("example", 3001)}},
        "both": {one: {("example", 3000)}, two: {("example", 3001), ("other", 3002)}},
    }
    for name, wanted in expected.items():
        found = await wait_slices(space, name, lambda seen, wanted=wanted: ports_of(seen) == wanted)
        for piece in found:
            assert piece["metadata"]["labels"][MANAGED] == "endpointslice-controller.k8s.io"
            assert piece["metadata"]["ownerReferences"][0]["name"] == name
            for entry in piece["endpoints"]:
                assert entry["targetRef"]["kind"] == "Pod"
                assert entry["nodeName"] in space.cluster.nodes
        endpoints = await space.wait(
            "endpoints", name, lambda seen, wanted=wanted: subsets_of(seen) == wanted
        )
        references = [
            address["targetRef"]["name"]
            for subset in endpoints["subsets"]
            for address in subset["addresses"]
        ]
        assert set(references) == ({"one"} if name == "by-number" else {"one", "two"})


def ports_of(found: list[Obj]) -> dict[str, set[tuple[str, int]]]:
    ports: dict[str, set[tuple[str, int]]] = {}
    for piece in found:
        for entry in piece.get("endpoints") or ():
            own = ports.setdefault(entry["addresses"][0], set())
            own.update((p["name"], p["port"]) for p in piece["ports"])
    return ports


def subsets_of(endpoints: Obj) -> dict[str, set[tuple[str, int]]]:
    ports: dict[str, set[tuple[str, int]]] = {}
    for subset in endpoints.get("subsets") or ():
        for address in subset.get("addresses") or ():
            own = ports.setdefault(address["ip"], set())
            own.update((p["name"], p["port"]) for p in subset["ports"])
    return ports


async def test_a_service_without_pods_has_empty_ones_which_go_with_it(space: Space) -> None:
    made = await service(space, "empty", {"name": "example", "port": 80}, selector={"no": "pods"})
    found = await wait_slices(space, "empty", lambda seen: bool(seen))
    assert [piece.get("endpoints") or [] for piece in found] == [[]]
    owner = found[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("Service", made["metadata"]["uid"])
    endpoints = await space.wait("endpoints", "empty", lambda seen: True)
    assert not endpoints.get("subsets")
    await space.delete("services", "empty")
    await space.wait_gone("endpoints", "empty")
    await wait_slices(space, "empty", lambda seen: not seen)


def by_hand(name: str, port: int, *ips: str, port_name: str) -> Obj:
    return {
        "metadata": {"name": name, "labels": {SERVICE_LABEL: "by-hand", MANAGED: "e2e-test"}},
        "addressType": "IPv4",
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip]} for ip in ips],
    }


@pytest.mark.parametrize("count", [1, 2])
async def test_slices_written_by_hand_are_served(space: Space, count: int) -> None:
    """Two ports: of one address, or each of an address of its own."""
    http = {"name": "http", "port": 80, "targetPort": 3000}
    again = {"name": "http1", "port": 81, "targetPort": 3001}
    spec = {"ports": [http, again]}
    await space.create("services", {"metadata": {"name": "by-hand"}, "spec": spec})
    first, last, _ = await run(
        space, net_pod("web-0", "http:3000", "http:3001"), net_pod("web-1", "http:3001"),
        net_pod("client"),
    )  # fmt: skip
    second = first if count == 1 else last
    await space.create(SLICES, by_hand("a", 3000, ip_of(first), port_name="http"))
    await space.create(SLICES, by_hand("b", 3001, ip_of(second), port_name="http1"))
    await wait_answers(space, "client", "http", "by-hand", 80, {"web-0"})
    await wait_answers(space, "client", "http", "by-hand", 81, {second["metadata"]["name"]})
    assert not await space.listed("endpoints", field_selector="metadata.name=by-hand")


async def test_endpoints_written_by_hand_are_mirrored_through_their_life(space: Space) -> None:
    spec = {"ports": [{"name": "example", "port": 80, "protocol": "TCP"}]}
    await space.create("services", {"metadata": {"name": "mirrored"}, "spec": spec})
    ports = [{"name": "example", "port": 80, "protocol": "TCP"}]
    subsets = [{"addresses": [{"ip": "10.1.2.3"}], "ports": ports}]
    await space.create("endpoints", {"metadata": {"name": "mirrored"}, "subsets": subsets})
    (piece,) = await wait_slices(space, "mirrored", lambda seen: bool(seen))
    assert piece["metadata"]["labels"][MANAGED] == "endpointslicemirroring-controller.k8s.io"
    assert [entry["addresses"] for entry in piece["endpoints"]] == [["10.1.2.3"]]
    assert piece["endpoints"][0]["conditions"]["ready"] is True
    assert [(p["name"], p["port"], p["protocol"]) for p in piece["ports"]] == [
        ("example", 80, "TCP")
    ]
    subsets[0]["addresses"] = [{"ip": "10.2.3.4"}]
    await space.patch("endpoints", "mirrored", {"subsets": subsets})
    await wait_slices(
        space,
        "mirrored",
        lambda seen: (
            [e["addresses"] for piece in seen for e in piece["endpoints"]] == [["10.2.3.4"]]
        ),
    )
    await space.delete("endpoints", "mirrored")
    await wait_slices(space, "mirrored", lambda seen: not seen)


async def test_a_terminating_pod_still_serves_while_it_is_the_last(space: Space) -> None:
    await service(space, "web")
    pod = net_pod(
        "web-0", "http:8080", labels={"app": "web"}, terminationGracePeriodSeconds=600,
        container={"lifecycle": {"preStop": {"sleep": {"seconds": 600}}}},
    )  # fmt: skip
    await asyncio.gather(run(space, pod), client(space))
    await wait_answers(space, "client", "http", "web", 80, {"web-0"}, 3)
    await space.client.delete("pods", "web-0", namespace=space.name)
    (piece,) = await wait_slices(
        space, "web", lambda seen: bool(seen[0]["endpoints"][0]["conditions"].get("terminating"))
    )
    conditions = piece["endpoints"][0]["conditions"]
    assert (conditions["ready"], conditions["serving"]) == (False, True)
    await wait_answers(space, "client", "http", "web", 80, {"web-0"}, 3)
    await space.client.delete("pods", "web-0", namespace=space.name, grace_period_seconds=0)
