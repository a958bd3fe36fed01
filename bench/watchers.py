"""Many watchers of one kind: how late events reach them, what each costs the server, what idle
ones hold.

Watchers are bare connections that look for a time stamp in what they read, so that the client's
share of the two cores stays small.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from load import request_of
from process import cpu_seconds, megabytes
from target import NAMESPACE, Target

_SENT = re.compile(rb'"sent":"([\d.]+)"')
CONNECTING_AT_ONCE = 64


class Watcher(asyncio.BufferedProtocol):
    """One watch on a connection of its own."""

    buffer = bytearray(256 * 1024)  # of all watchers: it is filled and read in one step
    view = memoryview(buffer)

    def __init__(self, request: bytes, lags: list[float]) -> None:
        self._request = request
        self._lags = lags
        self.began = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)  # type: ignore[attr-defined]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self.view[:nbytes])
        if not self.began.done():
            assert data.startswith(b"HTTP/1.1 200"), data[:200]
            self.began.set_result(None)
        now = time.monotonic()
        for sent in _SENT.findall(data):
            self._lags.append((now - float(sent)) * 1000)


@dataclass(frozen=True, slots=True)
class Lag:
    """What ``follow`` measured."""

    p50: float  # milliseconds
    p99: float
    received: int
    wanted: int
    cpu_micros: float  # of the server's CPU an event; 0 if its process is not known


async def follow(target: Target, *, watchers: int, per_second: int, seconds: int) -> Lag:
    """Watch one kind so many times, update an object so often: when does everybody know?"""
    lags: list[float] = []
    root = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    version = _version(target, root)
    path = f"{root}?watch=1&resourceVersion={version}&allowWatchBookmarks=true"
    opened = await _open(target, path, watchers, lags)
    before = cpu_seconds(target.pid) if target.pid else 0.0
    updater = await asyncio.create_subprocess_exec(
        *_updater(target, f"{root}/one", per_second, seconds)
    )
    await updater.wait()
    await asyncio.sleep(1)
    used = cpu_seconds(target.pid) - before if target.pid else 0.0
    received = len(lags)
    for transport in opened:
        transport.close()
    await asyncio.sleep(0.5)
    cuts = quantiles(lags, n=100)
    wanted = watchers * per_second * seconds
    return Lag(cuts[49], cuts[98], received, wanted, used / max(1, received) * 1e6)


async def idle(target: Target, watchers: int) -> tuple[float, float]:
    """The server's megabytes before, and with so many watches on which nothing happens."""
    root = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    before = megabytes(target.pid)
    opened = await _open(target, f"{root}?watch=1&resourceVersion={_version(target, root)}",
                         watchers, [])  # fmt: skip
    await asyncio.sleep(2)
    after = megabytes(target.pid)
    for transport in opened:
        transport.abort()
    await asyncio.sleep(1)
    return before, after


def _version(target: Target, root: str) -> str:
    version: str = target.call("GET", f"{root}?limit=1")["metadata"]["resourceVersion"]
    return version


async def _open(target: Target, path: str, watchers: int, lags: list[float]) -> list[Any]:
    loop, (host, port) = asyncio.get_running_loop(), target.address
    request = request_of(target, path)
    opened: list[Any] = []
    while len(opened) < watchers:
        batch = await asyncio.gather(
            *(
                loop.create_connection(lambda: Watcher(request, lags), host, port, ssl=target.tls)
                for _ in range(min(CONNECTING_AT_ONCE, watchers - len(opened)))
            )
        )
        await asyncio.gather(*(watcher.began for _, watcher in batch))
        opened += [transport for transport, _ in batch]
    return opened


def _updater(target: Target, path: str, per_second: int, seconds: int) -> list[str]:
    """The writer has a process of its own: it must not wait for a thousand readers."""
    import sys

    return [sys.executable, __file__, target.url, target.token, path, str(per_second), str(seconds)]


def update(url: str, token: str, path: str, per_second: int, seconds: int) -> None:
    """Patch an object so often, with the time at which it was sent."""
    import http.client
    import json

    target = Target(url, token)
    connection = http.client.HTTPSConnection(*target.address, context=target.tls)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/merge-patch+json",
    }
    began = time.monotonic()
    for number in range(per_second * seconds):
        time.sleep(max(0.0, began + number / per_second - time.monotonic()))
        body = json.dumps({"data": {"sent": f"{time.monotonic():.6f}"}})
        connection.request("PATCH", path, body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status


if __name__ == "__main__":
    from sys import argv

    update(argv[1], argv[2], argv[3], int(argv[4]), int(argv[5]))
