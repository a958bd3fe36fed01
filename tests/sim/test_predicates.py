"""The conformance suite's scheduling behaviours, each as a client sees it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sagong.api import errors
from sagong.api.meta import condition, name_of
from sagong.api.types import Obj
from sagong.sim.loop import run_virtual

from .world import World, world

FAKE = "example.com/fakecpu"
CLASSES = "priorityclasses.scheduling.k8s.io"
PAUSE = "registry.k8s.io/pause:3.10"


def run(test: Callable[[World], Awaitable[None]], nodes: int = 2) -> None:
    async def main() -> None:
        async with world(nodes=nodes) as seen:
            await asyncio.sleep(2.0)  # until new nodes have lost their first taints
            await test(seen)

    run_virtual(main(), 0, limit_seconds=3600)


def pod(name: str, requests: Obj | None = None, **spec: object) -> Obj:
    container: Obj = {"name": "main", "image": PAUSE}
    if requests:
        container["resources"] = {"requests": requests, "limits": requests}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"name": name}},
        "spec": {"containers": [container], **spec},
    }


def node_of(seen: World, name: str) -> str:
    return str(seen.get("pods", name)["spec"].get("nodeName") or "")


def running(seen: World, name: str) -> bool:
    return bool((seen.get("pods", name).get("status") or {}).get("phase") == "Running")


def refused(seen: World, name: str) -> str:
    found = condition(seen.get("pods", name), "PodScheduled") or {}
    waits = found.get("status") == "False" and found.get("reason") == "Unschedulable"
    return str(found["message"]) if waits else ""


async def label(seen: World, node: str, value: str | None) -> None:
    patch = {"metadata": {"labels": {"example.com/e2e": value}}}
    await seen.client.patch("nodes", node, patch)
    await asyncio.sleep(1.0)


def test_defaults_of_a_limit_range_are_applied_and_its_bounds_kept() -> None:
    def amounts(cpu: str, memory: str, storage: str) -> Obj:
        return {"cpu": cpu, "memory": memory, "ephemeral-storage": storage}

    async def test(seen: World) -> None:
        container = {
            "type": "Container",
            "min": amounts("50m", "100Mi", "100Gi"),
            "max": amounts("500m", "500Mi", "500Gi"),
            "default": amounts("100m", "200Mi", "200Gi"),
            "defaultRequest": amounts("100m", "200Mi", "200Gi"),
        }
        limits: Obj = {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "limits", "namespace": "default"},
            "spec": {"limits": [container]},
        }
        made = await seen.client.create("limitranges", limits)
        found = await seen.client.get("limitranges", "limits", namespace="default")
        assert found["spec"] == made["spec"]
        plain = await seen.client.create("pods", pod("plain"))
        resources = plain["spec"]["containers"][0]["resources"]
        assert resources["requests"] == container["defaultRequest"]
        assert resources["limits"] == container["default"]
        partial = pod("partial")
        partial["spec"]["containers"][0]["resources"] = {
            "requests": {"memory": "150Mi", "ephemeral-storage": "150Gi"},
            "limits": {"cpu": "300m"},
        }
        resources = (await seen.client.create("pods", partial))["spec"]["containers"][0][
            "resources"
        ]
        assert resources["requests"] == amounts("300m", "150Mi", "150Gi")
        assert resources["limits"] == amounts("300m", "200Mi", "200Gi")
        for name, requests in (
            ("small", amounts("10m", "50Mi", "50Gi")),
            ("large", amounts("600m", "600Mi", "600Gi")),
        ):
            with pytest.raises(errors.Forbidden):
                await seen.client.create("pods", pod(name, requests))
        lower = {**container, "min": amounts("9m", "49Mi", "49Gi")}
        await seen.client.update("limitranges", {**made, "spec": {"limits": [lower]}})
        assert await seen.client.create("pods", pod("small", amounts("10m", "50Mi", "50Gi")))
        with pytest.raises(errors.Forbidden):
            await seen.client.create("pods", pod("large", amounts("600m", "600Mi", "600Gi")))
        await seen.client.delete("limitranges", "limits", namespace="default")
        with pytest.raises(errors.NotFound):
            await seen.client.get("limitranges", "limits", namespace="default")
        free = await seen.client.create("pods", pod("free"))
        assert not free["spec"]["containers"][0].get("resources")

    run(test)


def test_requests_that_exceed_what_is_left_are_not_placed() -> None:
    async def test(seen: World) -> None:
        # Seven tenths of each node are taken by fillers that are tied to their nodes.
        for number in range(2):
            node = f"node-{number}"
            await label(seen, node, f"v{number}")
            selector = {"example.com/e2e": f"v{number}"}
            filler = pod(f"filler-{number}", {"cpu": "44800m"}, nodeSelector=selector)
            await seen.create("pods", filler)
        await seen.wait(lambda: all(running(seen, f"filler-{n}") for n in range(2)))
        assert {node_of(seen, f"filler-{n}") for n in range(2)} == {"node-0", "node-1"}
        await seen.create("pods", pod("additional", {"cpu": "22400m"}))
        await seen.wait(lambda: refused(seen, "additional") != "")
        assert refused(seen, "additional").startswith("0/2 nodes are available: 2 Insufficient cpu")
        told = "Insufficient cpu"
        await seen.wait(lambda: any(told in e for e in seen.events("FailedScheduling")))
        await seen.create("pods", pod("fitting", {"cpu": "19"}))
        await seen.wait(lambda: running(seen, "fitting"))

    run(test)


def test_a_node_selector_that_matches_decides() -> None:
    async def test(seen: World) -> None:
        await label(seen, "node-1", "42")
        await seen.create("pods", pod("with-labels", nodeSelector={"example.com/e2e": "42"}))
        await seen.wait(lambda: running(seen, "with-labels"))
        assert node_of(seen, "with-labels") == "node-1"
        await label(seen, "node-1", None)
        node = await seen.client.get("nodes", "node-1")
        assert "example.com/e2e" not in node["metadata"]["labels"]

    run(test)


def test_a_node_selector_that_matches_nothing_refuses() -> None:
    async def test(seen: World) -> None:
        await seen.create("pods", pod("restricted", nodeSelector={"label": "nonempty"}))
        await seen.wait(lambda: refused(seen, "restricted") != "")
        reason = "2 node(s) didn't match Pod's node affinity/selector"
        assert reason in refused(seen, "restricted")
        await seen.wait(lambda: any(reason in e for e in seen.events("FailedScheduling")))
        assert node_of(seen, "restricted") == ""

    run(test)


def test_one_host_port_on_all_addresses_excludes_it_on_any() -> None:
    def holder(name: str, address: str, protocol: str = "TCP", port: int = 54322) -> Obj:
        made = pod(name, nodeSelector={"example.com/e2e": "95"})
        entry = {"containerPort": 8080, "hostPort": port, "protocol": protocol}
        made["spec"]["containers"][0]["ports"] = [entry | ({"hostIP": address} if address else {})]
        return made

    async def test(seen: World) -> None:
        await label(seen, "node-0", "95")
        await seen.create("pods", holder("pod4", ""))
        await seen.wait(lambda: running(seen, "pod4"))
        await seen.create("pods", holder("pod5", "10.0.0.7"))
        await seen.wait(lambda: refused(seen, "pod5") != "")
        reason = "1 node(s) didn't have free ports for the requested pod ports"
        assert reason in refused(seen, "pod5")
        # Another protocol, another port and other addresses are no conflict.
        for name, made in (
            ("udp", holder("udp", "10.0.0.7", "UDP")),
            ("port", holder("port", "10.0.0.7", port=54323)),
            ("address", holder("address", "10.0.0.8", port=54323)),
        ):
            await seen.create("pods", made)
            await seen.wait(lambda name=name: running(seen, name))
            assert node_of(seen, name) == "node-0"

    run(test)


def test_replica_sets_are_preempted_along_the_expected_path() -> None:
    def replica_set(number: int, amount: int) -> Obj:
        labels = {"name": f"rs{number}"}
        template = pod("x", {FAKE: str(amount)}, priorityClassName=f"p{number}")
        return {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": f"rs{number}", "namespace": "default"},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
            },
        }

    async def test(seen: World) -> None:
        amounts = {"capacity": {FAKE: "1000"}, "allocatable": {FAKE: "1000"}}
        await seen.client.patch("nodes", "node-0", {"status": amounts}, subresource="status")
        for number in range(1, 5):
            body: Obj = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
            body |= {"metadata": {"name": f"p{number}"}, "value": number}
            await seen.client.create(CLASSES, body)
        seen_pods: dict[str, set[str]] = {f"rs{n}": set() for n in range(1, 4)}

        def note(old: Obj | None, new: Obj | None) -> None:
            owner = (new or {}).get("metadata", {}).get("labels", {}).get("name", "")
            if new is not None and owner in seen_pods:
                seen_pods[owner].add(name_of(new))

        seen.cache.on_change("pods", note)
        for number, amount in ((1, 200), (2, 300), (3, 450)):
            await seen.create("replicasets.apps", replica_set(number, amount))
            await seen.wait(
                lambda n=number: seen.status("replicasets.apps", f"rs{n}").get("readyReplicas") == 1
            )
        await seen.create("pods", pod("preemptor", {FAKE: "500"}, priorityClassName="p4"))
        await seen.wait(lambda: running(seen, "preemptor"))
        # The two least important made room, and their ReplicaSets made new pods, which wait.
        await seen.wait(lambda: [len(s) for s in seen_pods.values()] == [2, 2, 1])
        await asyncio.sleep(30.0)
        assert [len(s) for s in seen_pods.values()] == [2, 2, 1]
        waiting = [p for p in seen.pods() if not p["spec"].get("nodeName")]
        assert {p["metadata"]["labels"]["name"] for p in waiting} == {"rs1", "rs2"}

    run(test, nodes=1)
