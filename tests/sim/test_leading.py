"""Two servers' control planes over one store: one leads, the other takes over, never both."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from sagong.api.call import Answer, Call, Verb
from sagong.api.resources import ResourceTable
from sagong.api.types import User
from sagong.client.in_process import Dispatch, InProcess
from sagong.cmd.control_plane import control_plane
from sagong.cmd.leading import NAME, NAMESPACE, elected
from sagong.controllers.configured import Settings
from sagong.core.clock import Clock
from sagong.core.ids import Ids, SeededIds
from sagong.sim.faults import Faulty, Link
from sagong.sim.world import Simulation, run_simulation

from .rehearsals import SETTLE_SECONDS, is_rolled, workload

LEASES = "leases.coordination.k8s.io"
DEPLOYMENTS = "deployments.apps"
WRITES = (Verb.CREATE, Verb.UPDATE, Verb.PATCH, Verb.DELETE)
# A candidate sees the last renewal one retry (with jitter) late, waits for the lease to run out,
# and looks again up to one retry after that.
TAKEOVER_SECONDS = 2 * 2.2 + 15 + 2 * 2.2 + 1


@dataclass
class Pair:
    """Two candidates, each with its own way to the server, and who wrote in which order."""

    seed: int
    links: dict[str, Link] = field(default_factory=dict)
    writers: list[str] = field(default_factory=list)
    running: dict[str, contextlib.AsyncExitStack] = field(default_factory=dict)

    def behind(self, dispatch: Dispatch, name: str) -> Dispatch:
        link = self.links.setdefault(name, Link(name, self.seed))

        async def dispatched(call: Call, user: User) -> Answer:
            answer = await Faulty(InProcess(dispatch, user), link).send(call)
            # Events of what was done are sent when they can be; they decide nothing.
            acts = call.verb in WRITES and call.resource.plural not in ("leases", "events")
            if acts and self.writers[-1:] != [name]:
                self.writers.append(name)
            return answer

        return dispatched

    @contextlib.asynccontextmanager
    async def compose(
        self,
        dispatch: Dispatch,
        resources: ResourceTable,
        settings: Settings,
        clock: Clock,
        ids: Ids,
    ) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for name in "ab":
                one = self.running[name] = contextlib.AsyncExitStack()
                way, own_ids = self.behind(dispatch, name), SeededIds(2 * self.seed + ord(name))
                plane = functools.partial(control_plane, way, resources, settings, clock, own_ids)
                candidate = elected(way, resources, clock, own_ids, plane, identity=name)
                await one.enter_async_context(candidate)
                stack.push_async_exit(one)
            yield


def holder(world: Simulation) -> str:
    lease = world.view.get(LEASES, NAMESPACE, NAME)
    return str(lease["spec"].get("holderIdentity") or "") if lease else ""


def play(pair: Pair, scenario: object) -> None:
    run_simulation(scenario, seed=pair.seed, compose=pair.compose)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_a_leader_that_is_cut_off_is_succeeded(seed: int) -> None:
    pair = Pair(seed)

    async def scenario(world: Simulation) -> None:
        first = holder(world)
        second = {"a": "b", "b": "a"}[first]
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 3))
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 3, "one:1"))
        assert pair.writers == [first]
        pair.links[first].cut()
        await world.wait(lambda: holder(world) == second, TAKEOVER_SECONDS)
        await world.change(DEPLOYMENTS, "web", {"spec": {"replicas": 5}})
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 5, "one:1"), SETTLE_SECONDS)
        # The old leader comes back, and is a candidate like any other.
        pair.links[first].mend()
        await asyncio.sleep(60)
        assert holder(world) == second
        assert pair.writers == [first, second]
        lease = world.view.get(LEASES, NAMESPACE, NAME)
        assert lease is not None
        assert lease["spec"]["leaseTransitions"] == 1
        told = [e["message"] for e in world.view.list("events") if e["reason"] == "LeaderElection"]
        assert {f"{first} became leader", f"{second} became leader"} <= set(told)

    play(pair, scenario)


def test_a_leader_that_is_held_up_does_nothing_when_it_wakes() -> None:
    """A long pause of the machine: by the time it goes on another leads."""
    pair = Pair(7)

    async def scenario(world: Simulation) -> None:
        first = holder(world)
        second = {"a": "b", "b": "a"}[first]
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 3))
        await asyncio.sleep(0.5)
        pair.links[first].hold()
        await world.wait(lambda: holder(world) == second, TAKEOVER_SECONDS)
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 3, "one:1"), SETTLE_SECONDS)
        pair.links[first].release()
        await asyncio.sleep(60)
        assert holder(world) == second
        assert (
            len([p for p in world.view.list("pods") if p["metadata"]["namespace"] == "default"])
            == 3
        )

    play(pair, scenario)


def test_a_leader_that_ends_hands_over_at_once() -> None:
    pair = Pair(1)

    async def scenario(world: Simulation) -> None:
        first = holder(world)
        second = {"a": "b", "b": "a"}[first]
        await pair.running[first].aclose()
        before = world.clock.monotonic()
        await world.wait(lambda: holder(world) == second, 10)
        # Nobody waits for a lease to run out that was given free.
        assert world.clock.monotonic() - before < 2 * 2.2 + 1
        await world.apply(DEPLOYMENTS, workload("Deployment", "web", 2))
        await world.wait(lambda: is_rolled(world, DEPLOYMENTS, "web", 2, "one:1"), SETTLE_SECONDS)

    play(pair, scenario)
