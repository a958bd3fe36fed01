"""Controllers beside the workloads, from end to end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sagong.api.errors import Forbidden
from sagong.api.meta import finalizers_of, is_deleting, name_of, owner_reference
from sagong.api.types import Obj
from sagong.sim.loop import run_virtual

from .world import World, template, workload, world

SLICES = "endpointslices.discovery.k8s.io"
AUTOSCALERS = "horizontalpodautoscalers.autoscaling"


def run(test: Callable[[World], Awaitable[None]], *, seed: int = 0, nodes: int = 2) -> None:
    async def main() -> None:
        async with world(nodes=nodes, seed=seed) as seen:
            await test(seen)

    run_virtual(main(), seed, limit_seconds=9000)


def object_of(api_version: str, kind: str, name: str, **fields: object) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def pod(name: str, **spec: object) -> Obj:
    found = template("x")
    metadata = {"name": name, "namespace": "default", **found["metadata"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": found["spec"] | spec,
    }


async def live(seen: World, resource: str, name: str = "") -> list[Obj]:
    listed = await seen.client.list(resource)
    return [i.obj for i in listed.items if name in ("", name_of(i.obj))]


async def until(check: Callable[[], Awaitable[bool]], seconds: float = 600) -> None:
    async with asyncio.timeout(seconds):
        # Virtual time costs nothing, and what is asked is the server's state, of any kind.
        while not await check():  # noqa: ASYNC110
            await asyncio.sleep(0.5)


def test_a_quota_gives_back_what_is_gone() -> None:
    async def test(seen: World) -> None:
        quota = object_of("v1", "ResourceQuota", "q", spec={"hard": {"pods": "1"}})
        await seen.client.create("resourcequotas", quota)

        async def uses(amount: str) -> bool:
            (found,) = await live(seen, "resourcequotas", "q")
            return bool(found["status"].get("used") == {"pods": amount})

        await until(lambda: uses("0"))
        await seen.create("pods", pod("a"))
        await until(lambda: uses("1"))
        with pytest.raises(Forbidden, match="exceeded quota: q"):
            await seen.client.create("pods", pod("b"))
        await seen.client.delete("pods", "a", namespace="default")
        await until(lambda: uses("0"))
        await seen.create("pods", pod("b"))

    run(test)


def test_endpoints_by_hand_have_slices_while_they_and_their_service_are_there() -> None:
    async def test(seen: World) -> None:
        address = {"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}
        await seen.client.create(
            "endpoints", object_of("v1", "Endpoints", "man", subsets=[address])
        )
        await asyncio.sleep(30)
        assert await live(seen, SLICES) == []
        assert await live(seen, "endpoints", "man")
        spec = {"ports": [{"port": 80}]}
        await seen.client.create("services", object_of("v1", "Service", "man", spec=spec))

        async def mirrored(*wanted: str) -> bool:
            slices = await live(seen, SLICES)
            return [e["addresses"][0] for s in slices for e in s["endpoints"] or ()] == [*wanted]

        await until(lambda: mirrored("10.1.2.3"))
        await seen.client.delete("services", "man", namespace="default")
        await until(lambda: mirrored())
        assert await live(seen, "endpoints", "man") == []

    run(test)


def test_a_claim_is_bound_protected_and_its_volume_released() -> None:
    async def test(seen: World) -> None:
        amount = {"storage": "1Gi"}
        modes = ["ReadWriteOnce"]
        volume = object_of("v1", "PersistentVolume", "v")
        del volume["metadata"]["namespace"]
        path = {"path": "/tmp/v"}
        volume["spec"] = {"capacity": amount, "accessModes": modes, "hostPath": path}
        await seen.client.create("persistentvolumes", volume)
        spec = {"accessModes": modes, "resources": {"requests": amount}, "storageClassName": ""}
        claim = object_of("v1", "PersistentVolumeClaim", "c", spec=spec)
        await seen.create("persistentvolumeclaims", claim)
        await seen.wait(lambda: seen.status("persistentvolumeclaims", "c").get("phase") == "Bound")
        (bound,) = await live(seen, "persistentvolumes")
        assert bound["status"]["phase"] == "Bound"
        uses = [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]
        await seen.create("pods", pod("p", volumes=uses))
        await seen.wait(lambda: bool(seen.get("pods", "p")["spec"].get("nodeName")))
        await seen.client.delete("persistentvolumeclaims", "c", namespace="default")
        await asyncio.sleep(60)
        assert is_deleting(seen.get("persistentvolumeclaims", "c"))
        await seen.client.delete("pods", "p", namespace="default")
        await seen.wait(lambda: not list(seen.cache.list("persistentvolumeclaims")))

        async def released() -> bool:
            (found,) = await live(seen, "persistentvolumes")
            return bool(found["status"]["phase"] == "Released")

        await until(released)

    run(test)


def test_a_taint_without_a_time_counts_from_when_it_is_seen() -> None:
    async def test(seen: World) -> None:
        patient: Obj = {"key": "k", "operator": "Exists", "effect": "NoExecute"}
        patient |= {"tolerationSeconds": 60}
        await seen.create("pods", pod("p", tolerations=[patient]))
        await seen.create("pods", pod("q"))
        await seen.wait(lambda: all(p["spec"].get("nodeName") for p in seen.pods()))
        taint = {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}
        for number in range(2):
            await seen.client.patch("nodes", f"node-{number}", taint)
        started = seen.clock.monotonic()
        await seen.wait(lambda: [name_of(p) for p in seen.pods()] == ["p"], 30)
        await seen.wait(lambda: not seen.pods(), 120)
        assert 60 <= seen.clock.monotonic() - started <= 65

    run(test)


def test_a_namespace_lets_go_of_pods_before_all_else() -> None:
    async def test(seen: World) -> None:
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default2"}}
        await seen.client.create("namespaces", made)
        held = pod("p")
        held["metadata"] |= {"namespace": "default2", "finalizers": ["x.y/held"]}
        note = object_of("v1", "ConfigMap", "note")
        note["metadata"]["namespace"] = "default2"
        account = ("serviceaccounts", "default2", "default")
        await seen.wait(lambda: seen.cache.get(*account) is not None)
        await seen.client.create("pods", held)
        await seen.client.create("configmaps", note)
        await seen.client.delete("namespaces", "default2")
        await asyncio.sleep(60)
        (found,) = await live(seen, "configmaps", "note")
        assert not is_deleting(found)
        (space,) = await live(seen, "namespaces", "default2")
        conditions = {c["type"]: c for c in space["status"]["conditions"]}
        remaining = conditions["NamespaceFinalizersRemaining"]["message"]
        assert remaining.endswith("x.y/held in 1 resource instances")
        free = {"metadata": {"finalizers": None}}
        await seen.client.patch("pods", "p", free, namespace="default2")

        async def gone() -> bool:
            return not await live(seen, "namespaces", "default2")

        await until(gone)

    run(test)


def test_foreground_waits_for_those_that_block_and_circles_end() -> None:
    async def test(seen: World) -> None:
        first = await seen.client.create("configmaps", object_of("v1", "ConfigMap", "a"))
        second = object_of("v1", "ConfigMap", "b")
        second["metadata"] |= {
            "ownerReferences": [owner_reference(first)],
            "finalizers": ["x.y/held"],
        }
        made = await seen.client.create("configmaps", second)
        await seen.client.delete(
            "configmaps", "a", namespace="default", propagation_policy="Foreground"
        )
        await asyncio.sleep(60)
        (owner,) = await live(seen, "configmaps", "a")
        assert finalizers_of(owner) == ["foregroundDeletion"]
        # Each the other's owner: nobody may wait for the other for ever.
        patch: Obj = {"metadata": {"finalizers": None}}
        await seen.client.patch("configmaps", name_of(made), patch, namespace="default")

        async def gone() -> bool:
            found = await live(seen, "configmaps")
            return not any(name_of(o) in ("a", "b") for o in found)

        await until(gone)
        ring = [
            await seen.client.create("configmaps", object_of("v1", "ConfigMap", n)) for n in "ab"
        ]
        for mine, other in (ring, ring[::-1]):
            patch = {"metadata": {"ownerReferences": [owner_reference(other, controller=False)]}}
            await seen.client.patch("configmaps", name_of(mine), patch, namespace="default")
        await asyncio.sleep(5)
        await seen.client.delete(
            "configmaps", "a", namespace="default", propagation_policy="Foreground"
        )
        await until(gone)

    run(test)


def test_a_target_outside_its_bounds_is_scaled_without_metrics() -> None:
    async def test(seen: World) -> None:
        selector = {"matchLabels": {"app": "web"}}
        spec: Obj = {"replicas": 1, "selector": selector, "template": template("web")}
        await seen.create("deployments.apps", workload("apps/v1", "Deployment", "web", **spec))
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        bounds = {"minReplicas": 3, "maxReplicas": 5, "scaleTargetRef": target}
        await seen.client.create(
            AUTOSCALERS, object_of("autoscaling/v2", "HorizontalPodAutoscaler", "h", spec=bounds)
        )
        await seen.wait(lambda: len(seen.pods()) == 3)
        await asyncio.sleep(40)
        (found,) = await live(seen, AUTOSCALERS)
        reasons = {c["type"]: c["reason"] for c in found["status"]["conditions"]}
        assert reasons["ScalingActive"] == "FailedGetResourceMetric"
        assert len(seen.pods()) == 3

    run(test)


def test_events_vanish_after_an_hour() -> None:
    async def test(seen: World) -> None:
        await seen.create("pods", pod("p"))
        await seen.wait(lambda: bool(seen.events("Scheduled")))
        await asyncio.sleep(3500)
        assert seen.events("Scheduled")
        await asyncio.sleep(200)
        assert not seen.events("Scheduled")

    run(test)
