"""Turns: a flow that computes much waits for one that computes little."""

import asyncio

import pytest

from sagong.server.fairness.turns import ROUND_ALONE_SECONDS, ROUND_SECONDS, Turns, timed


class Ticking:
    """Time that passes only while somebody computes."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("others", "before"), [(["other"], 3), ([], int(ROUND_ALONE_SECONDS / ROUND_SECONDS) + 2)]
)
async def test_a_quiet_flow_does_not_wait_for_all_of_a_noisy_one(
    others: list[str], before: int
) -> None:
    """Least of all where several flows are known; one alone has longer rounds."""
    time, order = Ticking(), []
    turns = Turns(time)
    for other in others:
        turns.add(other, ROUND_SECONDS / 100)

    async def compute(flow: str, seconds: float) -> None:
        time.now += seconds
        order.append(flow)

    async def request(flow: str, seconds: float) -> None:
        turn = turns.wait_turn(flow)
        if turn is not None:
            await turn
        await timed(compute(flow, seconds), turns, flow)

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(request("noisy", ROUND_SECONDS))
        await asyncio.sleep(0)
        group.create_task(request("quiet", ROUND_SECONDS / 10))
    assert order.index("quiet") <= before
    assert len(order) == 51


async def test_while_the_server_keeps_up_nobody_waits() -> None:
    time = Ticking()
    turns = Turns(time)
    for _ in range(100):
        assert turns.wait_turn("x") is None
        turns.add("x", ROUND_SECONDS / 2)
        await asyncio.sleep(0)


async def test_only_computing_counts() -> None:
    time = Ticking()
    turns = Turns(time)

    async def wait() -> str:
        await asyncio.sleep(0)
        time.now += 1e-4
        await asyncio.sleep(0.001)
        return "done"

    assert await timed(wait(), turns, "x") == "done"
    assert turns.wait_turn("x") is None


async def test_a_client_that_has_gone_does_not_hold_up_the_others() -> None:
    turns = Turns(Ticking())
    turns.add("x", 1.0)
    gone, there = turns.wait_turn("x"), turns.wait_turn("x")
    assert gone is not None
    assert there is not None
    gone.cancel()
    async with asyncio.timeout(1):
        await there
