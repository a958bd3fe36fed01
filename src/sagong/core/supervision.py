"""Keeping a component of a process going: what fails is logged and begun again, later each time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

log = logging.getLogger(__name__)

FIRST_SECONDS = 1.0
LIMIT_SECONDS = 30.0
# A component that lived so long before it failed is begun again as if it had never failed.
SETTLED_SECONDS = 60.0

T = TypeVar("T")


async def supervised(
    name: str,
    run: Callable[[], Awaitable[T]],
    *,
    foreseen: tuple[type[Exception], ...] = (),
    first_seconds: float = FIRST_SECONDS,
    limit_seconds: float = LIMIT_SECONDS,
) -> T:
    """What ``run()`` returns in the end. While it raises it is called again, after a delay that
    doubles up to the limit; ``run`` must bear that. Cancellation passes through.

    ``foreseen`` failures get one line in the log, others their traceback."""
    loop = asyncio.get_running_loop()
    delay = first_seconds
    while True:
        began = loop.time()
        try:
            return await run()
        except Exception as error:
            if loop.time() - began > SETTLED_SECONDS:
                delay = first_seconds
            text = "%s failed and is begun again in %g s: %s"
            log.warning(
                text, name, delay, error, exc_info=None if isinstance(error, foreseen) else error
            )
        await asyncio.sleep(delay)
        delay = min(2 * delay, limit_seconds)
