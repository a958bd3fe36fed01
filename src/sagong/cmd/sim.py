"""The composition root of simulated nodes against a real server, and of rehearsals from the shell.

``sim_nodes`` stands beside a cluster, in real time; ``rehearse`` plays a cluster's life in virtual
time, with everything that can die dying, and says whether it came through.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sagong.api.errors import NotFound
from sagong.api.meta import name_of
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.client.https import Https
from sagong.client.kubeconfig import Context
from sagong.cmd.control_plane import control_plane
from sagong.core.clock import SystemClock
from sagong.core.ids import SystemIds
from sagong.core.tasks import task_group
from sagong.sim.checkers import always
from sagong.sim.day import Day, DayConfig
from sagong.sim.faults import BAD_DAY
from sagong.sim.fleet import (
    LEASE_NAMESPACE,
    LEASE_SECONDS,
    LEASES,
    SIMULATED,
    Fleet,
    FleetConfig,
)
from sagong.sim.trace import Trace
from sagong.sim.world import Simulation, SimulationConfig, run_simulation

Say = Callable[[str], None]
DELETIONS_AT_ONCE = 32
SETTLE_SECONDS = 3600.0  # virtual


async def sim_nodes(context: Context, config: FleetConfig, say: Say) -> None:
    """Stand in for so many nodes until cancelled; pods that are bound to them seem to run."""
    client = Client(Https(context.access), ResourceTable(), user_agent="sagong-sim-nodes")
    fleet = Fleet(config, client, lambda name: client, SystemClock(), SystemIds())
    try:
        async with task_group() as tasks:
            tasks.start(fleet.run(), name="simulated nodes")
            await fleet.wait_registered()
            say(f"{config.count} simulated node(s) registered")
            await asyncio.Event().wait()
    finally:
        await client.close()


async def remove_simulated(context: Context) -> int:
    """Delete the nodes that were simulated; how many there were. Their pods go with them."""
    client = Client(Https(context.access), ResourceTable(), user_agent="sagong-down")
    try:
        listing = await client.list("nodes", label_selector=f"{SIMULATED}=true")
        names = iter([name_of(item.obj) for item in listing.items])
        async with task_group() as tasks:
            deleting = [
                tasks.start(_delete_nodes(client, names), name=f"delete nodes {number}")
                for number in range(DELETIONS_AT_ONCE)
            ]
            for task in deleting:
                await task
        return len(listing.items)
    finally:
        await client.close()


async def _delete_nodes(client: Client, names: Iterator[str]) -> None:
    for name in names:
        for resource, namespace in (("nodes", None), (LEASES, LEASE_NAMESPACE)):
            try:
                await client.delete(resource, name, namespace=namespace)
            except NotFound:
                continue


def rehearse(seed: int, *, nodes: int, replicas: int, troubles: int) -> str:
    """Roll a Deployment out twice on a bad day; what happened, in a line.

    Raises what went wrong, with the line that replays it.
    """
    told: list[str] = []
    trace = Trace()

    async def scenario(world: Simulation) -> None:
        await world.apply("deployments.apps", _deployment(replicas))
        async with task_group() as tasks:
            trouble = tasks.start(world.trouble(troubles, 30.0 * troubles), name="trouble")
            await world.wait(lambda: _is_up(world, replicas), SETTLE_SECONDS)
            patch = {"spec": {"template": {"metadata": {"annotations": {"round": "2"}}}}}
            await world.change("deployments.apps", "web", patch)
            await trouble
        await world.wait(lambda: _is_up(world, replicas), SETTLE_SECONDS)
        seconds = world.clock.monotonic()
        told.append(
            f"seed {seed}: {nodes} nodes, {replicas} pods rolled out twice through {troubles}"
            f" troubles in {seconds:,.0f} virtual seconds, {world.view.revision:,} writes,"
            f" trace {trace.digest()}"
        )

    config = SimulationConfig(nodes=nodes, faults=BAD_DAY, checks=[*always(), trace])
    run_simulation(scenario, seed=seed, compose=control_plane, config=config)
    return told[0]


@dataclass(frozen=True, slots=True)
class DayReport:
    """What a day came to."""

    done: Mapping[str, int]  # what happened, how often
    writes: int
    changes: Mapping[str, int]  # of objects, by resource
    virtual_seconds: float
    trace: str  # the digest: the same of every run of this seed


def play_day(
    seed: int,
    nodes: int,
    config: DayConfig,
    *,
    say: Say = lambda line: None,
    record: Callable[[str], object] | None = None,
    lease_seconds: int = LEASE_SECONDS,
) -> DayReport:
    """A day of a cluster in virtual time (``sagong.sim.day``); ``record`` is given each change.

    Raises what went wrong, with the line that replays it.
    """
    reports: list[DayReport] = []
    trace = Trace(record, ignored=frozenset({LEASES}))

    async def scenario(world: Simulation) -> None:
        day = Day(world, config, say)
        await day.run()
        seconds, writes = world.clock.monotonic(), world.view.revision
        reports.append(DayReport(day.done, writes, trace.changes, seconds, trace.digest()))

    simulated = SimulationConfig(
        nodes=nodes,
        lease_seconds=lease_seconds,
        # As upstream's defaults stand to each other: a lease and a quarter.
        node_grace_seconds=1.25 * lease_seconds,
        limit_seconds=(config.hours + 6) * 3600,
        checks=[*always(), trace],
    )
    run_simulation(scenario, seed=seed, compose=control_plane, config=simulated)
    return reports[0]


def _deployment(replicas: int) -> Obj:
    container = {"name": "main", "image": "app:1", "resources": {"requests": {"cpu": "100m"}}}
    labels = {"app": "web"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _is_up(world: Simulation, replicas: int) -> bool:
    found = world.view.get("deployments.apps", "default", "web") or {}
    status = found.get("status") or {}
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return bool(found) and (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and all(status.get(count) == replicas for count in counts)
    )
