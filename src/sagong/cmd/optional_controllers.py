"""Controllers of custom resources, run while their definitions are there."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from sagong.api.resources import ResourceTable
from sagong.core.tasks import task_group
from sagong.ctl.controller import Controller, Reconcile
from sagong.ctl.runner import Runner

LOOK_SECONDS = 2.0  # for definitions that come and go; as often as the garbage collector looks


async def run_while_served(
    members: Sequence[tuple[Controller, Reconcile]],
    needed: Sequence[str],
    resources: ResourceTable,
    make_runner: Callable[[], Runner],
    prepare: Callable[[], Awaitable[None]],
) -> None:
    """Until cancelled; ``prepare`` comes first, each time that the definitions have come."""

    def served() -> bool:
        return all(resources.named(name) is not None for name in needed)

    while True:
        while not served():  # noqa: ASYNC110 - the table has nobody to wake
            await asyncio.sleep(LOOK_SECONDS)
        await prepare()
        runner = make_runner()
        for controller, reconcile in members:
            runner.add(controller, reconcile)
        async with task_group() as tasks:
            running = tasks.start(runner.run(), name="optional controllers")
            while served():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
            running.cancel()
