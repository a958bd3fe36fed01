"""An event loop in a thread that holds a server up, for tests that are not asynchronous.

The server's loop is its own: a test may block, use threads or another loop, and still be answered.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

T = TypeVar("T")
Made = TypeVar("Made")

START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 10.0


class Background:
    """A running event loop in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call(self, coroutine: Coroutine[Any, Any, T], seconds_max: float = 30.0) -> T:
        """Run a coroutine there and wait for what it returns or raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds_max)


@contextlib.contextmanager
def background(
    make: Callable[[], AbstractAsyncContextManager[Made]],
) -> Iterator[tuple[Background, Made]]:
    """Hold a context open in a thread's own loop while the block runs."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, Made]] = Future()

    async def hold() -> None:
        stop = asyncio.Event()
        async with make() as made:
            started.set_result((asyncio.get_running_loop(), stop, made))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="sagong", daemon=True)
    thread.start()
    loop, stop, made = started.result(START_SECONDS_MAX)
    try:
        yield Background(loop), made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_SECONDS_MAX)
