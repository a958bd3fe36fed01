"""[sig-node] NoExecuteTaintManager, in virtual time: the pods' nodes are simulated."""

import asyncio

from sagong.api.meta import name_of
from sagong.api.types import Obj

from .test_controllers import run
from .world import World, template

TAINT = {"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal"}
TAINT |= {"effect": "NoExecute"}


def pod(name: str, *, tolerated_seconds: int | None = None) -> Obj:
    toleration: Obj = {"key": TAINT["key"], "value": TAINT["value"], "effect": TAINT["effect"]}
    spec = template(name)["spec"] | {"nodeName": "node-1"}
    if tolerated_seconds is not None:
        spec["tolerations"] = [toleration | {"tolerationSeconds": tolerated_seconds}]
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def taint(seen: World, *taints: Obj) -> None:
    await seen.client.patch("nodes", "node-1", {"spec": {"taints": list(taints)}})


def names(seen: World) -> list[str]:
    return sorted(name_of(p) for p in seen.pods())


def test_a_taint_that_goes_in_time_evicts_nobody() -> None:
    async def test(seen: World) -> None:
        await seen.create("pods", pod("patient", tolerated_seconds=60))
        await taint(seen, TAINT)
        await asyncio.sleep(30)
        assert names(seen) == ["patient"]
        await taint(seen)
        await asyncio.sleep(600)
        assert names(seen) == ["patient"]

    run(test)


def test_each_pod_is_evicted_after_its_own_time() -> None:
    async def test(seen: World) -> None:
        await seen.create("pods", pod("none"))
        await seen.create("pods", pod("short", tolerated_seconds=5))
        await seen.create("pods", pod("long", tolerated_seconds=120))
        await taint(seen, TAINT)
        started = seen.clock.monotonic()
        gone: dict[str, float] = {}
        while len(gone) < 3:
            await asyncio.sleep(1)
            for name in {"none", "short", "long"} - set(names(seen)) - set(gone):
                gone[name] = seen.clock.monotonic() - started
        assert gone["none"] < 5 <= gone["short"] < 20 < 120 <= gone["long"] < 140
        # The pod says why, until it is gone.
        assert any(
            "Marking for deletion Pod" in text for text in seen.events("TaintManagerEviction")
        )

    run(test)
