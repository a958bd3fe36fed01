"""A node's network beside a real API server: what its informers hear reaches rules and names."""

from pathlib import Path

from dnslib import DNSRecord

from sagong.api.types import Obj
from sagong.network.agent import NetworkConfig, NodeNetwork
from sagong.network.dns.wire import read_question
from sagong.sim.loop import run_virtual

from .world import World, world

SLICES = "endpointslices.discovery.k8s.io"


def service() -> Obj:
    spec = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def slice_(*ips: str) -> Obj:
    labels = {"kubernetes.io/service-name": "web"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-by-hand", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [ip]} for ip in ips],
    }


def resolved(network: NodeNetwork, name: str) -> list[str]:
    question = read_question(bytes(DNSRecord.question(name).pack()))
    assert network.dns is not None
    assert question is not None
    reply = network.dns.answer_nowait(question, bytes_max=512)
    return [] if reply is None else [str(r.rdata) for r in DNSRecord.parse(reply).rr]


def forwarded(network: NodeNetwork) -> set[str]:
    """The endpoints that the planned rules rewrite to."""
    elements = network.proxies[0].plan_nowait().elements
    return {value for (name, _), value in elements.items() if name == "endpoints"}


async def scenario(seen: World) -> None:
    config = NetworkConfig("node-0", Path("/nonexistent"))
    network = NodeNetwork(config, seen.cache, clock=seen.clock)
    network.follow(seen.cache)
    await seen.cache.wait_synced()
    assert resolved(network, "web.default.svc.cluster.local") == []
    ip = (await seen.create("services", service()))["spec"]["clusterIP"]
    assert resolved(network, "web.default.svc.cluster.local") == [ip]
    before = forwarded(network)
    await seen.create(SLICES, slice_("10.244.0.2", "10.244.1.2"))
    assert forwarded(network) - before == {"10.244.0.2 . 8080", "10.244.1.2 . 8080"}
    await seen.change(SLICES, "web-by-hand", {"endpoints": [{"addresses": ["10.244.1.2"]}]})
    assert forwarded(network) - before == {"10.244.1.2 . 8080"}
    gone = await seen.client.delete("services", "web", namespace="default")
    await seen.wait(lambda: seen.cache.get("services", "default", "web") is None)
    assert gone["kind"]
    assert forwarded(network) == before
    assert resolved(network, "web.default.svc.cluster.local") == []


def test_what_the_api_says_reaches_rules_and_names() -> None:
    async def main() -> None:
        async with world(nodes=1) as seen:
            await scenario(seen)

    run_virtual(main(), 0, limit_seconds=600)
