"""A thread that does what it is given, in order, and tells the event loop of each.

What ``ThreadPoolExecutor`` does with two futures and a lock for each piece of work, with none: the
store's writer passes through here for every group of writes.
"""

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

# Called on the event loop: with the result, or with None and what was raised.
Done = Callable[[Any, BaseException | None], None]


class Worker:
    """See the module's docstring. Starts with its first work."""

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[tuple[Callable[[], Any], Done] | None] = SimpleQueue()
        self._name = name
        self._thread: Thread | None = None

    def give(self, work: Callable[[], Any], done: Done) -> None:
        """Do ``work`` on the thread, then call ``done`` on the running loop."""
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = Thread(target=self._run, args=(loop,), name=self._name, daemon=True)
            self._thread.start()
        self._queue.put((work, done))

    async def wait(self, work: Callable[[], T]) -> T:
        """The result of ``work``, done on the thread. Raises what it raises."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T, failure: BaseException | None) -> None:
            if future.done():
                return  # who waited was cancelled
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)

        self.give(work, done)
        return await future

    def stop(self) -> None:
        """End the thread; everything it was given has been done."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (job := self._queue.get()) is not None:
            work, done = job
            try:
                result, failure = work(), None
            except BaseException as error:  # noqa: BLE001 - told to whoever gave the work
                result, failure = None, error
            loop.call_soon_threadsafe(done, result, failure)
