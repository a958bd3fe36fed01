"""Preemption through the whole control plane: victims are told why and go."""

from collections.abc import Awaitable, Callable

from sagong.api.meta import condition, name_of
from sagong.api.types import Obj
from sagong.sim.loop import run_virtual

from .world import World, world


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with world(nodes=1) as seen:
            await test(seen)

    run_virtual(main(), 0, limit_seconds=3600)


def pod(name: str, cpu: str, **spec: object) -> Obj:
    container = {"name": "main", "image": "one:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            # Holds a victim after it has ended, so that what was said of it can be read.
            "finalizers": ["example.com/hold"] if name == "low" else [],
        },
        "spec": {"containers": [container], **spec},
    }


def placed(seen: World, name: str) -> bool:
    found = seen.cache.get("pods", "default", name)
    return bool(found and found["spec"].get("nodeName"))


def test_the_important_get_room() -> None:
    async def test(seen: World) -> None:
        for name, value in (("high", 1000), ("low", 1)):
            meta = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
            body = {**meta, "metadata": {"name": name}, "value": value}
            await seen.client.create("priorityclasses.scheduling.k8s.io", body)
        targets: list[Obj] = []

        def note(old: Obj | None, new: Obj | None) -> None:
            target = condition(new, "DisruptionTarget") if new else None
            if target is not None and new is not None and name_of(new) == "low":
                targets.append(target)

        # The pretended kubelet writes conditions of its own over it later.
        seen.cache.on_change("pods", note)
        await seen.create("pods", pod("low", "40", priorityClassName="low"))
        await seen.create("pods", pod("mid", "20", priorityClassName="high"))
        await seen.wait(lambda: placed(seen, "low") and placed(seen, "mid"))
        made = await seen.create("pods", pod("high", "30", priorityClassName="high"))
        await seen.wait(lambda: placed(seen, "high"))
        victim = seen.get("pods", "low")
        assert {t["reason"] for t in targets} == {"PreemptionByScheduler"}
        assert victim["metadata"]["deletionTimestamp"]
        uid = made["metadata"]["uid"]
        told = [f"Preempted by pod {uid} on node node-0"]
        await seen.wait(lambda: seen.events("Preempted") == told)
        assert name_of(seen.get("pods", "mid")) == "mid"
        assert "deletionTimestamp" not in seen.get("pods", "mid")["metadata"]
        # The highest class that there is goes before all.
        critical = pod("critical", "30", priorityClassName="system-cluster-critical")
        await seen.create("pods", critical)
        await seen.wait(lambda: placed(seen, "critical"))

    run(test)


def test_who_never_preempts_waits() -> None:
    async def test(seen: World) -> None:
        await seen.create("pods", pod("low", "40"))
        await seen.wait(lambda: placed(seen, "low"))
        meta = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
        body = {**meta, "metadata": {"name": "polite"}, "value": 9, "preemptionPolicy": "Never"}
        await seen.client.create("priorityclasses.scheduling.k8s.io", body)
        await seen.create("pods", pod("polite", "40", priorityClassName="polite"))

        def told() -> bool:
            found = condition(seen.get("pods", "polite"), "PodScheduled")
            return bool(found and "preemptionPolicy=Never" in (found.get("message") or ""))

        await seen.wait(told)
        assert "deletionTimestamp" not in seen.get("pods", "low")["metadata"]

    run(test)
