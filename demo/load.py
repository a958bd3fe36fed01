"""Real load: so many new connections a second to the nodes' ports; every failure is kept.

Each request is a connection of its own, as a browser's first would be, so that every one meets
the kernel's rules as they are then.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

ANSWER_SECONDS_MAX = 10.0


@dataclass(slots=True)
class Seen:
    """What came of the requests so far."""

    sent: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


@contextlib.contextmanager
def load(addresses: Sequence[str], port: int, per_second: int) -> Iterator[Seen]:
    """Load from a thread of its own while the block runs; complete once it ends."""
    seen, stop = Seen(), threading.Event()
    work = _keep_asking(addresses, port, per_second, seen, stop)
    thread = threading.Thread(target=asyncio.run, args=(work,), name="load")
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


async def _keep_asking(
    addresses: Sequence[str], port: int, per_second: int, seen: Seen, stop: threading.Event
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            due = int((loop.time() - began) * per_second)
            while seen.sent < due:
                address = addresses[seen.sent % len(addresses)]
                seen.sent += 1
                tasks.create_task(_ask(address, port, seen))
            await asyncio.sleep(0.005)


async def _ask(address: str, port: int, seen: Seen) -> None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            body = await _get(address, port)
    except (OSError, TimeoutError) as error:
        seen.failures[f"{type(error).__name__} {error}"] += 1
        return
    if b" 200 " not in body.split(b"\r\n", 1)[0] or b"version=" not in body:
        seen.failures[f"answer {body[:60]!r}"] += 1
        return
    seen.versions[body.split(b"version=", 1)[1].split()[0].decode()] += 1


async def _get(address: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        return await reader.read()
    finally:
        writer.close()
