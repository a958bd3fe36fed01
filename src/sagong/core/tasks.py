"""Task groups: the only place that creates tasks.

A long-lived component is ``async def run()``; when it returns, all its tasks are gone.
"""

import asyncio
import contextlib
import functools
import logging
import types
from collections.abc import AsyncIterator, Coroutine, Generator
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """Tasks that belong to one component. Made by :func:`task_group`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        # In the order in which they began, so that a seeded loop cancels them in that order.
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run a coroutine in the group. Its exception ends the whole group."""
        task = self._group.create_task(coroutine, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def start_now(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a coroutine at once as far as it gets without waiting; only the rest is a task.

        What runs at once is in no task, so it cannot use ``asyncio.timeout`` and the like.
        """
        try:
            awaited = coroutine.send(None)
        except StopIteration:
            return
        except BaseException as error:  # noqa: BLE001 - ends the group, as it would from a task
            self.start(_fail(error), name=name)
            return
        self.start(_go_on(coroutine, awaited), name=name)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    def cancel(self) -> None:
        """Cancel every task that is still running."""
        for task in tuple(self._tasks):
            task.cancel()


async def _fail(error: BaseException) -> None:
    raise error


async def _go_on(coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _rest(coroutine, awaited)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Drive a coroutine that has begun and waits for ``awaited``."""
    while True:
        try:
            sent = yield awaited
        except BaseException as error:  # noqa: BLE001 - thrown into the coroutine
            resume = functools.partial(coroutine.throw, error)
        else:
            resume = functools.partial(coroutine.send, sent)
        try:
            awaited = resume()
        except StopIteration:
            return


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[Tasks]:
    """A group of tasks that are all gone when the block is left; leaving cancels what still runs.

    Unlike asyncio.TaskGroup, leaving the block does not wait for the tasks to end by themselves:
    components run until they are told to stop. To wait for a task, await it inside the block.
    """
    async with asyncio.TaskGroup() as group:
        tasks = Tasks(group)
        try:
            yield tasks
        finally:
            tasks.cancel()
