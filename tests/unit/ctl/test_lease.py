"""Leader election: one at a time, handed over cleanly or after the lease has run out."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from plain_server import PlainServer

from sagong.api.call import Call
from sagong.api.errors import ServiceUnavailable
from sagong.api.types import Obj
from sagong.core.clock import LoopClock
from sagong.core.ids import SeededIds
from sagong.core.tasks import task_group
from sagong.ctl.lease import RESOURCE, Elector, LeadershipLost
from sagong.sim.loop import run_virtual


class Stage:
    """Candidates for one lease, and who leads."""

    def __init__(self) -> None:
        self.server = PlainServer()
        self.leading: set[str] = set()
        self.history: list[tuple[str, float]] = []
        self.cut_off: set[str] = set()

    def elector(self, identity: str) -> Elector:
        client = self.server.client()
        server = self.server

        async def dispatch(call: Call, user: object) -> object:
            if identity in self.cut_off:
                raise ServiceUnavailable("cut off")
            return await server.dispatch(call, user)  # type: ignore[arg-type]

        client.transport._dispatch = dispatch  # type: ignore[attr-defined]
        clock, ids = LoopClock(1e9), SeededIds(ord(identity))
        return Elector(
            client,
            namespace="kube-system",
            name="controllers",
            identity=identity,
            clock=clock,
            ids=ids,
        )

    async def lead(self, identity: str) -> None:
        self.leading.add(identity)
        assert len(self.leading) == 1, self.leading
        self.history.append((identity, asyncio.get_running_loop().time()))
        try:
            await asyncio.Event().wait()
        finally:
            self.leading.discard(identity)

    async def candidate(self, identity: str) -> None:
        """A process that stands for election again whenever it has lost."""
        while True:
            try:
                await self.elector(identity).run(lambda: self.lead(identity))
            except LeadershipLost:
                continue

    async def lease(self) -> Obj:
        client = self.server.client()
        obj = await client.get(RESOURCE, "controllers", namespace="kube-system")
        spec: Obj = obj["spec"]
        return spec


def scenario(body: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        await body(Stage())

    for seed in range(5):
        run_virtual(main(), seed, limit_seconds=10_000)


def test_one_leads_and_a_clean_stop_hands_over_soon() -> None:
    async def body(stage: Stage) -> None:
        async with task_group() as tasks:
            first = tasks.start(stage.candidate("a"), name="a")
            await asyncio.sleep(1)
            tasks.start(stage.candidate("b"), name="b")
            await asyncio.sleep(100)
            assert stage.leading == {"a"}
            spec = await stage.lease()
            assert spec["holderIdentity"] == "a"
            assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (15, 0)
            assert spec["acquireTime"] < spec["renewTime"]
            first.cancel()
            await asyncio.sleep(7)
            assert stage.leading == {"b"}
            assert (await stage.lease())["leaseTransitions"] == 1

    scenario(body)


def test_a_leader_that_is_cut_off_stops_before_another_starts() -> None:
    async def body(stage: Stage) -> None:
        async with task_group() as tasks:
            tasks.start(stage.candidate("a"), name="a")
            await asyncio.sleep(1)
            tasks.start(stage.candidate("b"), name="b")
            await asyncio.sleep(20)
            stage.cut_off.add("a")
            await asyncio.sleep(12.5)
            assert stage.leading == set()
            await asyncio.sleep(12)
            assert stage.leading == {"b"}
            stage.cut_off.clear()
            await asyncio.sleep(60)
            assert stage.leading == {"b"}

    scenario(body)


def test_it_ends_with_what_it_leads() -> None:
    async def body(stage: Stage) -> None:
        async def finish() -> None:
            await asyncio.sleep(30)

        async def fail() -> None:
            raise RuntimeError("broken")

        await stage.elector("a").run(finish)
        assert (await stage.lease())["holderIdentity"] == ""
        with pytest.raises(ExceptionGroup) as caught:
            await stage.elector("a").run(fail)
        assert caught.group_contains(RuntimeError, match="broken")
        assert (await stage.lease())["holderIdentity"] == ""

    scenario(body)
