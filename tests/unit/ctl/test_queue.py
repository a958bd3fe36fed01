"""The work queue: what is ready, in work and due, and workers that wait."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from sagong.core.clock import LoopClock
from sagong.core.tasks import task_group
from sagong.ctl.metrics import QueueMetrics
from sagong.ctl.queue import QueueState, WorkQueue
from sagong.ctl.rate import Backoff, TokenBucket
from sagong.sim.loop import run_virtual


def test_a_key_is_queued_once() -> None:
    state: QueueState[str] = QueueState(0)
    assert state.add("a")
    assert not state.add("a")
    assert state.add("b")
    assert (state.take(), state.take(), state.take()) == ("a", "b", None)


def test_a_key_in_work_comes_again_when_it_is_done() -> None:
    state: QueueState[str] = QueueState(0)
    state.add("a")
    assert state.take() == "a"
    assert state.add("a")
    assert not state.add("a")
    assert state.take() is None
    assert state.done("a")
    assert state.take() == "a"
    assert not state.done("a")


def test_delayed_adds_come_when_due_and_the_earliest_counts() -> None:
    state: QueueState[str] = QueueState(0)
    state.add_at("a", 10)
    state.add_at("a", 5)
    state.add_at("a", 7)
    state.add_at("b", 6)
    assert state.next_due() == 5
    assert state.promote(5.5) == ["a"]
    assert state.next_due() == 6
    assert state.promote(20) == ["b"]
    assert state.next_due() is None


def test_retries_back_off_per_key() -> None:
    state: QueueState[str] = QueueState(0)
    delays = [state.retry("a", 0) for _ in range(20)]
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 1000
    assert state.retry("b", 0) == 0.005
    state.forget("a")
    assert state.failures("a") == 0
    assert state.retry("a", 0) == 0.005


def test_all_retries_together_are_bounded() -> None:
    state: QueueState[int] = QueueState(0)
    delays = [state.retry(key, 0) for key in range(150)]
    assert delays[99] == 0.005
    assert delays[149] == pytest.approx(5.0)


def test_token_bucket() -> None:
    bucket = TokenBucket(per_second=0.5, burst=2, now=100)
    assert [bucket.take_nowait(100) for _ in range(3)] == [True, True, False]
    assert bucket.take_nowait(102)
    assert not bucket.take_nowait(103)
    assert bucket.reserve(104) == 0
    assert bucket.reserve(104) == 2


def test_backoff_never_overflows() -> None:
    backoff = Backoff(first_seconds=1, limit_seconds=60)
    assert {backoff.next_seconds("k") for _ in range(5000)} == {1, 2, 4, 8, 16, 32, 60}


def test_workers_share_keys_and_measures() -> None:
    registry = CollectorRegistry()

    async def main() -> list[tuple[str, str, float]]:
        clock = LoopClock(0)
        queue: WorkQueue[str] = WorkQueue("q", clock, QueueMetrics(registry))
        seen: list[tuple[str, str, float]] = []

        async def work(worker: str) -> None:
            while True:
                key = await queue.wait_next()
                seen.append((worker, key, clock.monotonic()))
                await asyncio.sleep(1)
                queue.done(key)

        async with task_group() as tasks:
            tasks.start(work("w1"), name="w1")
            tasks.start(work("w2"), name="w2")
            for key in ("a", "b", "a", "c"):
                queue.add(key)
            queue.add_after("a", 10)
            queue.add_after("d", 5)
            assert queue.retry("e") == 0.005
            await asyncio.sleep(20)
        queue.close()
        return seen

    for seed in range(5):
        seen = run_virtual(main(), seed)
        registry.collect()
        assert [(key, round(at)) for _, key, at in seen if key in "ad"] == [
            ("a", 0),
            ("d", 5),
            ("a", 10),
        ]
        assert sorted(key for _, key, _ in seen) == ["a", "a", "b", "c", "d", "e"]
        assert registry.get_sample_value("workqueue_adds_total", {"name": "q"}) == 6
        assert registry.get_sample_value("workqueue_retries_total", {"name": "q"}) == 1
        assert registry.get_sample_value("workqueue_depth", {"name": "q"}) == 0
        works = registry.get_sample_value("workqueue_work_duration_seconds_count", {"name": "q"})
        assert works == 6
        registry = CollectorRegistry()


def test_a_cancelled_worker_passes_its_wake_up_on() -> None:
    async def main() -> str:
        queue: WorkQueue[str] = WorkQueue("q", LoopClock(0), QueueMetrics(CollectorRegistry()))
        async with asyncio.TaskGroup() as group:
            first = group.create_task(queue.wait_next())
            second = group.create_task(queue.wait_next())
            await asyncio.sleep(1)
            queue.add("a")
            first.cancel()
        return second.result()

    for seed in range(10):
        assert run_virtual(main(), seed) == "a"
