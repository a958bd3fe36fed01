"""Pods bound per second through our API and store: the whole control plane in one process."""

import argparse
import asyncio
import cProfile
import pstats
import time
from collections.abc import Iterator
from pathlib import Path

from sagong.api.meta import uid_of
from sagong.client.client import Client
from sagong.cmd.server import Running, ServerConfig, serving
from sagong.cmd.tuning import settle_memory
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from scenarios import SCENARIOS, Obj, Scenario, many, node
from sim import ADMIN, composed, settle

CREATING = 32
CLASSES = {0: "low", 10: "high"}


async def bind_through_api(
    name: str, nodes: int, directory: Path, options: argparse.Namespace
) -> None:
    """Make nodes and pods, then let controllers and scheduler begin, and count bindings."""
    scenario, clock = SCENARIOS[name], SystemClock()
    config = ServerConfig(directory, port=0, store=options.store)
    async with serving(config, clock=clock, ids=SystemIds()) as running:
        settle_memory()  # as ``sagong server`` does once it has started
        client = running.client(ADMIN)
        await prepare(client, scenario, nodes)
        await settle(options, running, clock)
        before: list[Obj] = []
        if scenario.before:
            before = list(many(scenario.before, nodes, scenario.before_pods * nodes))
            for obj in before:
                obj["metadata"]["name"] = f"before-{obj['metadata']['name']}"
        await create_all(client, "pods", (prepared(obj) for obj in before))
        waits = scenario.gated or scenario.stay_pending
        await bound(running, clock, 0 if waits else len(before), None)
        pods = list(many(scenario.pod, nodes, scenario.pods * nodes))
        await create_all(client, "pods", (prepared(obj) for obj in pods))
        profile = cProfile.Profile() if options.profile else None
        wall, cpu = await bound(running, clock, len(pods), profile)
    rate, by_cpu = len(pods) / wall, len(pods) / cpu
    print(
        f"{name:36} {nodes:5} nodes {len(pods):6} pods {rate:8,.0f}/s bound ({by_cpu:,.0f}/s CPU)"
    )
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


async def prepare(client: Client, scenario: Scenario, nodes: int) -> None:
    meta = {"name": "default", "namespace": "default"}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    await client.create("serviceaccounts", account)
    for value, name in CLASSES.items():
        priority: Obj = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
        priority |= {"metadata": {"name": name}, "value": value}
        await client.create("priorityclasses.scheduling.k8s.io", priority)
    made = [node(number, scenario.zones) for number in range(nodes)]
    await create_all(client, "nodes", iter(made))


def prepared(obj: Obj) -> Obj:
    """As the API takes it: priorities by class; victims go at once, as no kubelet is there."""
    spec = dict(obj["spec"])
    if "priority" in spec:
        spec["priorityClassName"] = CLASSES[spec.pop("priority")]
    return {**obj, "spec": spec | {"terminationGracePeriodSeconds": 0}}


async def create_all(client: Client, resource: str, objects: Iterator[Obj]) -> None:
    async def creator() -> None:
        for obj in objects:
            await client.create(resource, obj)

    await asyncio.gather(*(creator() for _ in range(CREATING)))


async def bound(
    running: Running, clock: SystemClock, count: int, profile: cProfile.Profile | None
) -> tuple[float, float]:
    """Run the control plane until so many pods have been bound; wall and CPU seconds."""
    client = running.client(ADMIN)
    start = str((await client.list("pods", limit=1)).resource_version)
    seen: set[str] = set()
    wall, cpu = time.monotonic(), time.process_time()
    async with composed(running, clock):
        if not count:
            return 1.0, 1.0
        async for event in await client.watch("pods", resource_version=start):
            if event.type != "MODIFIED" or not event.obj["spec"].get("nodeName"):
                continue
            if not seen:
                # The control plane lists everything first; from now on it is at work.
                wall, cpu = time.monotonic(), time.process_time()
                if profile:
                    profile.enable()
            seen.add(uid_of(event.obj))
            if len(seen) == count:
                break
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        if profile:
            profile.disable()
    return wall, cpu
