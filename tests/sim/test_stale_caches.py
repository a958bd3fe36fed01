"""Controllers whose watch lags behind: faults that upstream once had, and must not come back.

The writes of the control plane arrive; what happened since is told late. (Replica sets that made
pods twice: kubernetes 28041; stateful sets that deleted the successor of a pod: 59848 and its kin.)
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from sagong.api.call import Answer, Call, Event, Verb, Watching
from sagong.api.meta import name_of, uid_of
from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, User
from sagong.client.in_process import Dispatch
from sagong.cmd.control_plane import control_plane
from sagong.controllers.configured import Settings
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.sim.checkers import always
from sagong.sim.world import Simulation, SimulationConfig, run_simulation

from .rehearsals import SETTLE_SECONDS, template, workload

SETS, STATEFUL = "replicasets.apps", "statefulsets.apps"


class Lag:
    """A control plane whose watches of some resources can be held back."""

    def __init__(self, *resources: str) -> None:
        self._resources = resources
        self._passing = asyncio.Event()
        self._passing.set()

    def hold(self) -> None:
        self._passing.clear()

    def release(self) -> None:
        self._passing.set()

    async def _late(self, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        async for event in events:
            await self._passing.wait()
            yield event

    @contextlib.asynccontextmanager
    async def compose(
        self,
        dispatch: Dispatch,
        resources: ResourceTable,
        settings: Settings,
        clock: Clock,
        ids: Ids,
    ) -> AsyncIterator[None]:
        async def dispatched(call: Call, user: User) -> Answer:
            answer = await dispatch(call, user)
            if call.verb is Verb.WATCH and call.resource.name in self._resources:
                assert isinstance(answer, Watching)
                return Watching(self._late(answer.events), answer.warnings)
            return answer

        async with control_plane(dispatched, resources, settings, clock, ids):
            yield


def play(lag: Lag, scenario: object, seed: int = 0) -> None:
    config = SimulationConfig(checks=always())
    run_simulation(scenario, seed=seed, compose=lag.compose, config=config)  # type: ignore[arg-type]


def pods(world: Simulation) -> list[Obj]:
    return world.view.list("pods", "default")


@pytest.mark.parametrize("seed", range(3))
def test_a_replica_set_makes_no_pod_twice(seed: int) -> None:
    lag = Lag("pods")

    async def scenario(world: Simulation) -> None:
        lag.hold()
        await world.apply(SETS, workload("ReplicaSet", "web", 3))
        await world.wait(lambda: len(pods(world)) == 3)
        # Woken again and again, it still has not seen what it has made.
        for number in range(5):
            touched = {"metadata": {"annotations": {"touched": str(number)}}}
            await world.change(SETS, "web", touched)
            await asyncio.sleep(10)
        assert len(pods(world)) == 3
        lag.release()
        await world.wait(lambda: world.status(SETS, "web").get("availableReplicas") == 3)
        # Nor does it remove more than are too many.
        lag.hold()
        await world.change(SETS, "web", {"spec": {"replicas": 2}})
        await world.wait(lambda: len(_staying(world)) == 2)
        await world.change(SETS, "web", {"metadata": {"annotations": {"touched": "again"}}})
        await asyncio.sleep(60)
        assert len(_staying(world)) == 2
        lag.release()
        await world.wait(lambda: world.status(SETS, "web").get("replicas") == 2, SETTLE_SECONDS)

    play(lag, scenario, seed)


def _staying(world: Simulation) -> list[Obj]:
    return [p for p in pods(world) if not p["metadata"].get("deletionTimestamp")]


def test_a_stateful_set_does_not_delete_the_successor_of_a_pod() -> None:
    """The cache shows the pod of before; only that one may be deleted, not who has its name now."""
    lag = Lag("pods")

    async def scenario(world: Simulation) -> None:
        await world.apply(STATEFUL, workload("StatefulSet", "db", 1, serviceName="db"))
        await world.wait(lambda: world.status(STATEFUL, "db").get("availableReplicas") == 1)
        first = pods(world)[0]
        lag.hold()
        await world.client.delete("pods", "db-0", namespace="default", grace_period_seconds=0)
        metadata = {"name": "db-0", "namespace": "default", "labels": {"app": "other"}}
        other = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata} | {
            "spec": template("x")["spec"]
        }
        await world.apply("pods", other)
        successor = pods(world)[0]
        assert uid_of(successor) != uid_of(first)
        # A new template: the pod that the cache shows is to be replaced.
        await world.change(STATEFUL, "db", {"spec": {"template": template("db", "two:2")}})
        await asyncio.sleep(60)
        assert [uid_of(p) for p in _staying(world)] == [uid_of(successor)]
        # Told at last, it waits for its name; when that is free its own pod comes.
        lag.release()
        await asyncio.sleep(60)
        assert [uid_of(p) for p in _staying(world)] == [uid_of(successor)]
        await world.delete("pods", "db-0")
        await world.wait(
            lambda: world.status(STATEFUL, "db").get("availableReplicas") == 1, SETTLE_SECONDS
        )
        assert [name_of(p) for p in _staying(world)] == ["db-0"]

    play(lag, scenario)


def test_a_deployment_makes_no_second_set_of_a_template() -> None:
    lag = Lag(SETS)

    async def scenario(world: Simulation) -> None:
        await world.apply("deployments.apps", workload("Deployment", "web", 2))
        await world.wait(
            lambda: world.status("deployments.apps", "web").get("availableReplicas") == 2
        )
        lag.hold()
        await world.change(
            "deployments.apps", "web", {"spec": {"template": template("web", "two:2")}}
        )
        await world.wait(lambda: len(world.view.list(SETS)) == 2)
        for number in range(3):
            touched = {"metadata": {"annotations": {"touched": str(number)}}}
            await world.change("deployments.apps", "web", touched)
            await asyncio.sleep(20)
        assert len(world.view.list(SETS)) == 2
        assert not world.status("deployments.apps", "web").get("collisionCount")
        lag.release()
        await world.wait(
            lambda: world.status("deployments.apps", "web").get("updatedReplicas") == 2,
            SETTLE_SECONDS,
        )

    play(lag, scenario)
