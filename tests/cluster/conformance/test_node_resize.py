"""[sig-node] Pod InPlace Resize: spec, status and the kernel's own figures agree."""

import asyncio
from typing import Any

from tests.cluster.conformance.cluster import Space
from tests.cluster.manifests import FOREVER, condition_of, container_status, is_ready, pod, shell

from sagong.api.call import PatchType
from sagong.api.quantities import parse
from sagong.api.types import Obj

MI = 1 << 20
_READ = (
    "cd /sys/fs/cgroup; if [ -e cpu.max ]; then echo $(cat cpu.weight cpu.max memory.max); else "
    "echo $(cat cpu/cpu.shares cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes); fi"
)


def resources(cpu: str = "", memory: str = "") -> Obj:
    """``cpu`` and ``memory`` as request/limit, for example ``20m/50m``; "" for none."""
    found: Obj = {}
    for name, text in (("cpu", cpu), ("memory", memory)):
        request, _, limit = text.partition("/")
        if request:
            found.setdefault("requests", {})[name] = request
        if limit:
            found.setdefault("limits", {})[name] = limit
    return found


def resizable(
    name: str, given: Obj, *, cpu: str = "NotRequired", memory: str = "NotRequired"
) -> Obj:
    policies = [
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": memory},
    ]
    return shell(FOREVER, name=name, resources=given, resizePolicy=policies)


def is_settled(seen: Obj) -> bool:
    status = seen.get("status") or {}
    waits = condition_of(seen, "PodResizePending") or condition_of(seen, "PodResizeInProgress")
    return status.get("observedGeneration") == seen["metadata"]["generation"] and not waits


def same(one: Obj | None, other: Obj | None) -> bool:
    def amounts(resources: Obj | None) -> dict[tuple[str, str], int]:
        found = resources or {}
        return {(w, n): parse(q).nano for w, listed in found.items() for n, q in listed.items()}

    return amounts(one) == amounts(other)


async def check(space: Space, name: str, wanted: dict[str, Obj], restarts: Any = ()) -> None:
    """The pod after a resize, from the outside and from the inside."""
    seen = await space.wait("pods", name, lambda p: is_settled(p) and is_ready(p))
    for container in seen["spec"]["containers"]:
        given = wanted[container["name"]]
        status = container_status(seen, container["name"])
        assert same(container.get("resources"), given)
        assert same(status["resources"], given), (status["resources"], given)
        assert same({"r": status.get("allocatedResources") or {}}, {"r": given.get("requests", {})})
        assert status["restartCount"] == (1 if container["name"] in restarts else 0)
    for container_name, given in wanted.items():
        text = await space.shell(name, _READ, container_name)
        assert text.split() == figures(given), (container_name, given)


def figures(given: Obj) -> list[str]:
    """shares, quota and memory limit as cgroup v1 shows them."""
    requests, limits = given.get("requests", {}), given.get("limits", {})
    request = requests.get("cpu", limits.get("cpu"))
    milli = parse(request).milli_value if request else 0
    shares = max(2, milli * 1024 // 1000)
    quota = max(1000, parse(limits["cpu"]).milli_value * 100) if "cpu" in limits else -1
    memory = parse(limits["memory"]).value if "memory" in limits else 9223372036854771712
    return [str(shares), str(quota), str(memory)]


async def ask(space: Space, name: str, wanted: dict[str, Obj]) -> None:
    """What `kubectl patch --subresource resize` sends."""
    listed = [{"name": n, "resources": given} for n, given in wanted.items()]
    await space.client.patch(
        "pods",
        name,
        {"spec": {"containers": listed}},
        namespace=space.name,
        subresource="resize",
        patch_type=PatchType.STRATEGIC,
    )


async def play(space: Space, name: str, before: dict[str, Obj], after: dict[str, Obj]) -> None:
    """Resize a pod with ``kubectl patch --subresource resize``'s request and back again."""
    containers = [resizable(n, given) for n, given in before.items()]
    await space.run(pod(name, *containers), is_ready)
    await check(space, name, before)
    for wanted in (after, before):
        await ask(space, name, wanted)
        await check(space, name, wanted)


async def test_guaranteed_pods_grow_and_shrink(space: Space) -> None:
    before = {f"c{i}": resources("20m/20m", "40Mi/40Mi") for i in (1, 2, 3)}
    grown, shrunk = resources("25m/25m", "45Mi/45Mi"), resources("15m/15m", "35Mi/35Mi")
    mixed = {
        "c1": resources("25m/25m", "40Mi/40Mi"),
        "c2": resources("15m/15m", "45Mi/45Mi"),
        "c3": resources("25m/25m", "45Mi/45Mi"),
    }
    await asyncio.gather(
        play(space, "net-more", before, {"c1": grown, "c2": grown, "c3": shrunk}),
        play(space, "net-less", before, {"c1": grown, "c2": shrunk, "c3": shrunk}),
        play(space, "mixed", before, mixed),
    )


async def test_equivalents_are_told_as_they_were_asked_for(space: Space) -> None:
    """The kernel knows no difference between 2m and 1m, nor between 10m and 5m of quota."""
    await play(space, "equal", {"c1": resources("2m/10m")}, {"c1": resources("1m/5m")})


async def test_six_containers_of_a_burstable_pod(space: Space) -> None:
    before = {
        "c1": resources(),
        "c2": resources("20m"),
        "c3": resources("", "40Mi"),
        "c4": resources("20m/40m", "40Mi/60Mi"),
        "c5": resources("20m/40m", "40Mi/60Mi"),
        "c6": resources("20m/40m", "40Mi/60Mi"),
    }
    after = {
        "c1": resources("10m/30m", "20Mi/40Mi"),
        "c2": resources("25m/50m"),
        "c3": resources("", "45Mi/80Mi"),
        "c4": resources("25m/45m", "45Mi/65Mi"),
        "c5": resources("15m/35m", "35Mi/55Mi"),
        "c6": resources("20m/40m", "40Mi/60Mi"),
    }
    containers = [resizable(n, given) for n, given in before.items()]
    await space.run(pod("six", *containers), is_ready)
    await check(space, "six", before)
    await ask(space, "six", after)
    await check(space, "six", after)


async def test_the_replace_endpoint(space: Space) -> None:
    before, after = resources("20m/20m", "40Mi/40Mi"), resources("25m/25m", "45Mi/45Mi")
    await space.run(pod("replaced", resizable("c1", before)), is_ready)
    seen = await space.get("pods", "replaced")
    seen["spec"]["containers"][0]["resources"] = after
    await space.client.update("pods", seen, subresource="resize")
    await check(space, "replaced", {"c1": after})
    through = await space.client.get("pods", "replaced", namespace=space.name, subresource="resize")
    assert through == await space.get("pods", "replaced")
    assert await space.wait_event("replaced", "ResizeCompleted", '"generation":2')


async def test_a_policy_may_want_a_restart(space: Space) -> None:
    before, after = resources("20m/20m", "40Mi/40Mi"), resources("20m/20m", "45Mi/45Mi")
    containers = [resizable("c1", before, memory="RestartContainer"), resizable("c2", before)]
    await space.run(pod("anew", *containers), is_ready)
    await ask(space, "anew", {"c1": after, "c2": after})
    await check(space, "anew", {"c1": after, "c2": after}, restarts=("c1",))
    await space.wait_event("anew", "Killing", "Container c1 resize requires restart")


async def test_what_does_not_fit_is_put_off_or_refused(space: Space) -> None:
    node = space.cluster.nodes[2]
    allocatable = (await space.client.get("nodes", node))["status"]["allocatable"]
    cpus = parse(allocatable["cpu"]).milli_value
    small, large = resources("10m"), resources(f"{cpus // 2 + 20}m")
    await asyncio.gather(
        *(
            space.run(pod(name, resizable("c1", given), nodeName=node), is_ready)
            for name, given in (("tenant", large), ("wanting", small))
        )
    )

    async def told(milli: int) -> Obj:
        await ask(space, "wanting", {"c1": resources(f"{milli}m")})
        seen = await space.wait(
            "pods",
            "wanting",
            lambda p: p["status"].get("observedGeneration") == p["metadata"]["generation"],
        )
        return next(c for c in seen["status"]["conditions"] if c["type"] == "PodResizePending")

    refused = await told(cpus + 1)
    assert (refused["status"], refused["reason"]) == ("True", "Infeasible")
    text = f"Node didn't have enough capacity: cpu, requested: {cpus + 1}, capacity: {cpus}"
    assert refused["message"] == text
    put_off = await told(cpus // 2 + 20)
    assert put_off["reason"] == "Deferred"
    assert put_off["message"].startswith("Node didn't have enough resource: cpu, requested: ")
    await space.delete("pods", "tenant")
    await check(space, "wanting", {"c1": large})
