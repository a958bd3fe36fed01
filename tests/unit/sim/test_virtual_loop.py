"""Virtual time: it jumps, it repeats itself from a seed, and it tells when nothing can happen."""

import asyncio

import pytest

from sagong.core.clock import LoopClock
from sagong.core.tasks import task_group
from sagong.sim import loop as loop_module
from sagong.sim.loop import Deadlock, Livelock, OutOfTime, run_virtual


def test_a_day_passes_at_once() -> None:
    async def main() -> list[float]:
        clock = LoopClock(epoch=1000.0)
        times = [clock.now()]
        for seconds in (86400.0, 0.001, 5 * 86400.0):
            await asyncio.sleep(seconds)
            times.append(clock.now())
        return times

    assert run_virtual(main()) == pytest.approx([1000.0, 87400.0, 87400.001, 519400.001])


def test_timers_fire_in_order_and_timeouts_work() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def note(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            seen.append(name)

        async with task_group() as tasks:
            last = tasks.start(note(30, "c"), name="c")
            tasks.start(note(10, "a"), name="a")
            tasks.start(note(20, "b"), name="b")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 25)
            seen.append("timeout")
            await last
        return seen

    for seed in range(5):
        assert run_virtual(main(), seed) == ["a", "b", "timeout", "c"]


def interleaving(seed: int | None) -> list[tuple[int, int]]:
    async def main() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []

        async def step(number: int) -> None:
            for turn in range(4):
                seen.append((number, turn))
                await asyncio.sleep(0 if turn % 2 else 1)

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(step(number))
        return seen

    return run_virtual(main(), seed)


def test_a_seed_repeats_its_interleaving_and_others_differ() -> None:
    assert interleaving(7) == interleaving(7)
    assert len({tuple(interleaving(seed)) for seed in range(10)}) > 5
    fifo = [(number, 0) for number in range(4)]
    assert interleaving(None)[:4] == fifo


def test_plain_callbacks_keep_their_order() -> None:
    async def main() -> list[int]:
        seen: list[int] = []
        for number in range(20):
            asyncio.get_running_loop().call_soon(seen.append, number)
        while len(seen) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0)
        return seen

    for seed in range(5):
        assert run_virtual(main(), seed) == list(range(20))


def test_deadlock_names_the_tasks() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(stuck(), name="the stuck one")

    with pytest.raises(Deadlock, match=r"the stuck one at .*\.py"):
        run_virtual(main())


def test_livelock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "TURNS_PER_INSTANT_MAX", 1000)

    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0)

    with pytest.raises(Livelock):
        run_virtual(main())


def test_out_of_time() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110
            await asyncio.sleep(60)

    with pytest.raises(OutOfTime):
        run_virtual(main(), limit_seconds=3600)
