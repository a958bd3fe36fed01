"""Pods bound per second through the API, on simulated nodes, beside genuine Kubernetes.

    python bench/sim.py                          # 3,000 pods on 1,000 nodes
    python bench/sim.py --nodes 5000 --pods 5000
    python bench/sim.py --store memory

One process runs what ``sagong server`` runs: API server over a durable store, all controllers, the
scheduler. The pods are made over HTTPS by another process, 16 requests at once, against no
scheduler; then the scheduler starts, and the time counts until every pod is bound. Nodes are
objects without heartbeats, as in the measurement of Kubernetes.
"""

import argparse
import asyncio
import cProfile
import logging
import pstats
import resource
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import uvloop

from sagong.api.meta import uid_of
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, User
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import read_context
from sagong.cmd.control_plane import control_plane
from sagong.cmd.server import Running, ServerConfig, serving
from sagong.controllers.configured import Settings
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.server.pki.signing import Signer
from sagong.sim.fleet import Fleet, FleetConfig

# Genuine Kubernetes 1.36.2, client limits lifted: pods bound per second.
BASELINE = {(3000, 1000): 550.0, (5000, 5000): 345.0}
MEMORY_BASELINE_MB = 1120.0  # etcd, API server and scheduler after 5,000 pods on 5,000 nodes
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
CREATING = 16


def pod(number: int) -> Obj:
    container = {
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": {"cpu": "100m", "memory": "200Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p-{number}", "namespace": "default", "labels": {"app": "bench"}},
        "spec": {"containers": [container]},
    }


async def make_pods(kubeconfig: Path, count: int) -> None:
    """Over HTTPS, in a process of its own."""
    client = Client(Https(read_context(kubeconfig).access), ResourceTable())
    numbers = iter(range(count))

    async def creator() -> None:
        for number in numbers:
            await client.create("pods", pod(number))

    await asyncio.gather(*(creator() for _ in range(CREATING)))
    await client.close()


async def measure(options: argparse.Namespace, directory: Path) -> None:
    clock, ids = SystemClock(), SystemIds()
    config = ServerConfig(directory, port=0, store=options.store)
    async with serving(config, clock=clock, ids=ids) as running:
        client = running.client(ADMIN)
        account = {"apiVersion": "v1", "kind": "ServiceAccount"}
        account |= {"metadata": {"name": "default", "namespace": "default"}}
        await client.create("serviceaccounts", account)
        await make_nodes(client, options.nodes)
        await settle(options, running, clock)
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--make-pods", str(running.kubeconfig),
            "--pods", str(options.pods),
        )  # fmt: skip
        assert await process.wait() == 0
        created = options.pods / (time.monotonic() - began)
        print(f"pods created over HTTPS: {created:,.0f}/s (store: {options.store})")
        await bind(options, running, clock)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratio = MEMORY_BASELINE_MB / memory
    print(
        f"memory, greatest, server + controllers + scheduler: {memory:,.0f} MB ({ratio:.1f}x less)"
    )


async def make_nodes(client: Client, count: int) -> None:
    clock, ids = SystemClock(), SystemIds()
    fleet = Fleet(FleetConfig(count, heartbeats=False), client, lambda name: client, clock, ids)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(fleet.run())
        await fleet.wait_registered()
        running.cancel()


async def settle(options: argparse.Namespace, running: Running, clock: SystemClock) -> None:
    """Let the control plane take the nodes in: their first taints go, they get their ranges."""
    client = running.client(ADMIN)
    async with composed(running, clock):
        while True:
            nodes = [item.obj for item in (await client.list("nodes")).items]
            if not any(n["spec"].get("taints") or not n["spec"].get("podCIDR") for n in nodes):
                return
            await asyncio.sleep(0.2)


def composed(running: Running, clock: SystemClock) -> AbstractAsyncContextManager[Any]:
    """Controllers and scheduler as ``sagong server`` puts them together."""
    settings = Settings(
        running.pki.ca_file.read_text(),
        Signer(running.pki.authority, clock),
        cluster_cidr="10.0.0.0/8",
        node_grace_seconds=1e9,
    )
    core = running.core
    return control_plane(core.server.dispatch, core.resources, settings, clock, SystemIds())


async def bind(options: argparse.Namespace, running: Running, clock: SystemClock) -> None:
    client = running.client(ADMIN)
    start = str((await client.list("pods", limit=1)).resource_version)
    bound: set[str] = set()
    first = cpu = 0.0
    profile = cProfile.Profile() if options.profile else None
    async with composed(running, clock):
        async for event in await client.watch("pods", resource_version=start):
            if event.type != "MODIFIED" or not event.obj["spec"].get("nodeName"):
                continue
            # The control plane lists everything first; from the first binding on it is at work.
            if not first and profile:
                profile.enable()
            if not first:
                first, cpu = time.monotonic(), time.process_time()
            bound.add(uid_of(event.obj))
            if len(bound) == options.pods:
                break
        seconds = time.monotonic() - first
        if profile:
            profile.disable()
    cpu = time.process_time() - cpu
    rate = options.pods / seconds
    base = BASELINE.get((options.pods, options.nodes))
    against = f", Kubernetes {base:,.0f}/s, {rate / base:.1f}x" if base else ""
    print(f"{options.pods:,} pods bound on {options.nodes:,} nodes: {rate:,.0f}/s{against}")
    print(f"  {1e6 * cpu / options.pods:,.0f} microseconds of CPU a pod, the whole process")
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        pstats.Stats(profile).sort_stats("cumtime").print_stats(70)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--store", choices=("sqlite", "memory"), default="sqlite")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--make-pods", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    if options.make_pods:
        asyncio.run(make_pods(options.make_pods, options.pods))
        return
    with (
        tempfile.TemporaryDirectory(prefix="sagong-bench-") as directory,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measure(options, Path(directory)))


if __name__ == "__main__":
    main()
