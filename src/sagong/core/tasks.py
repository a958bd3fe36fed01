"""Task groups: the only place that creates tasks.

A long-lived component is ``async def run()``; when it returns, all its tasks are gone.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

log = logging.getLogger(__name__)


class Tasks:
    """Tasks that belong to one component. Made by :func:`task_group`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run a coroutine in the group. Its exception ends the whole group."""
        task = self._group.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel every task that is still running."""
        for task in tuple(self._tasks):
            task.cancel()


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
