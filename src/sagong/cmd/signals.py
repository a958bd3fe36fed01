"""Running a program until it is told to stop."""

import asyncio
import logging
import signal
from collections.abc import Coroutine
from typing import Any


async def until_stopped(program: Coroutine[Any, Any, None]) -> None:
    """Run a program; SIGTERM or SIGINT cancels it and lets it clean up.

    A failure inside its task groups comes out as the first exception that ended them.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await program
    except asyncio.CancelledError:
        return
    except BaseExceptionGroup as group:
        raise first_leaf(group) from group


def first_leaf(error: BaseException) -> BaseException:
    """The exception that ended nested task groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
