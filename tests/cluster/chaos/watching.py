"""What is looked at all the time: connections to a Service, and how often an identity runs."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from .place import Place, run
from .workload import NODE_PORT

REQUESTS_PER_SECOND = 15
ANSWER_SECONDS_MAX = 5.0
_MARK = b"identity="


@dataclass(slots=True)
class Watched:
    """What was seen so far; ``failures`` is emptied by whoever judges them."""

    requests: int = 0
    failures: list[tuple[float, str]] = field(default_factory=list)  # when begun, what

    def failed_since(self, moment: float) -> list[str]:
        """Connections that failed and were begun after a moment of the loop's clock."""
        return [text for began, text in self.failures if began >= moment]


@contextlib.asynccontextmanager
async def watching(place: Place) -> AsyncIterator[Watched]:
    seen = Watched()
    addresses = [await _address(node) for node in place.nodes]
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(_ask_always(seen, addresses, tasks, place)),
            tasks.create_task(_look_for_twins(place)),
        ]
        try:
            yield seen
        finally:
            for task in running:
                task.cancel()


async def _address(node: str) -> str:
    _, text = await run("ip", "-n", f"sagong-{node}", "-4", "-o", "addr", "show", "eth0")
    return text.split()[3].partition("/")[0]


async def _ask_always(
    seen: Watched, addresses: list[str], tasks: asyncio.TaskGroup, place: Place
) -> None:
    while True:
        address = addresses[seen.requests % len(addresses)]
        seen.requests += 1
        tasks.create_task(_ask(seen, address, place))
        await asyncio.sleep(1 / REQUESTS_PER_SECOND)


async def _ask(seen: Watched, address: str, place: Place) -> None:
    """A connection of its own, as a browser's first would be."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(address, NODE_PORT)
            try:
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                body = await reader.read()
            finally:
                writer.close()
        if b"web " in body:
            return
        problem = f"answered {body[:40]!r}"
    except (OSError, TimeoutError) as error:
        problem = f"{type(error).__name__} {error}"
    seen.failures.append((began, f"{began - place.began:.1f} {address}: {problem}"))


async def _look_for_twins(place: Place) -> None:
    """No identity of a StatefulSet may ever run in two containers at once."""
    told: set[str] = set()
    while True:
        running: dict[str, set[str]] = {}
        for identity, container in await asyncio.to_thread(identities, place):
            running.setdefault(identity, set()).add(container)
        for identity, containers in running.items():
            text = f"{identity} runs {len(containers)} times: {', '.join(sorted(containers))}"
            if len(containers) > 1 and text not in told:
                told.add(text)
                place.violated(text)
        await asyncio.sleep(0.25)


def identities(place: Place) -> list[tuple[str, str]]:
    """(identity, cgroup of its container) of all processes of this cluster that carry one."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            names = [word for word in words if word.startswith(_MARK)]
            if names:
                groups = Path(f"/proc/{entry}/cgroup").read_text().splitlines()
                (pids,) = [line for line in groups if ":pids:" in line]
                if f"kubepods-{place.prefix}-" in pids:
                    found.append((names[0].decode(), pids.rpartition(":")[2]))
        except (OSError, ValueError):
            continue  # it has just ended
    return found
