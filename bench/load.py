"""Requests as fast as a server answers them: ``wrk -t1`` if it is there, else a loop of our own.

Genuine figures were taken with wrk. Our own loop spends more of the two cores on asking, so its
figures are lower; they say so.
"""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from statistics import quantiles
from urllib.parse import urlsplit

from process import cpu_seconds
from target import Target

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Work:
    """One sort of request; ``body`` makes it a POST."""

    path: str
    connections: int
    seconds: float
    body: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    rate: float  # answers/s
    p50: float  # milliseconds
    p99: float
    refused: int  # answers that were no 2xx
    cpu_micros: float  # of the server's CPU an answer; 0 if its process is not known
    tool: str

    def notes(self) -> str:
        cpu = f"  server CPU {self.cpu_micros:.0f} us" if self.cpu_micros else ""
        refused = f"  {self.refused} REFUSED" if self.refused else ""
        return f"p50 {self.p50:.2f} ms  p99 {self.p99:.2f} ms{cpu}  ({self.tool}){refused}"


def measure(target: Target, work: Work) -> Result:
    """Load for some seconds, with the server's CPU over the same time."""
    before = cpu_seconds(target.pid) if target.pid else 0.0
    if shutil.which("wrk"):
        rate, count, times, refused = _wrk(target, work)
        tool = "wrk"
    else:
        rate, count, times, refused = asyncio.run(_own(target, work))
        tool = "own loop"
    used = cpu_seconds(target.pid) - before if target.pid else 0.0
    return Result(rate, *times, refused, used / max(1, count) * 1e6, tool)


def _wrk(target: Target, work: Work) -> tuple[float, int, tuple[float, float], int]:
    arguments = ["wrk", "-t1", f"-c{work.connections}", f"-d{int(work.seconds)}s", "--latency"]
    arguments += ["-H", f"Authorization: Bearer {target.token}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if work.body:
            file.write(
                'wrk.method = "POST"\n'
                'wrk.headers["Content-Type"] = "application/json"\n'
                f"wrk.body = [[{work.body}]]\n"
            )
            file.flush()
            arguments += ["-s", file.name]
        ran = subprocess.run(
            [*arguments, target.url + work.path], capture_output=True, text=True, check=True
        )

    def found(pattern: str) -> str:
        match = re.search(pattern, ran.stdout)
        return match[1] if match else "0"

    times = [found(rf"{percent}%\s+([\d.]+(?:us|ms|s|m))") for percent in ("50", "99")]
    millis = [float(t.rstrip("mus")) * _UNITS[t.lstrip("0123456789.") or "ms"] for t in times]
    rate, count = float(found(r"Requests/sec:\s+([\d.]+)")), int(found(r"(\d+) requests in"))
    return rate, count, (millis[0], millis[1]), int(found(r"Non-2xx or 3xx responses: (\d+)"))


class _Asker(asyncio.Protocol):
    """One connection: asks, reads the answer, asks again. HTTP/1.1 with a Content-Length."""

    def __init__(self, request: bytes, times: list[float], refused: list[int]) -> None:
        self._request = request
        self._times = times
        self._refused = refused
        self._buffer = b""
        self._transport: asyncio.WriteTransport
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = re.search(rb"(?i)content-length: *(\d+)", self._buffer[:end])
        assert length is not None, "an answer without a length"
        whole = end + 4 + int(length[1])
        if len(self._buffer) < whole:
            return
        self._times.append((time.perf_counter() - self._asked) * 1000)
        if not self._buffer.startswith(b"HTTP/1.1 2"):
            self._refused.append(1)
        self._buffer = self._buffer[whole:]
        self._ask()


async def _own(target: Target, work: Work) -> tuple[float, int, tuple[float, float], int]:
    times: list[float] = []
    refused: list[int] = []
    request = request_of(target, work.path, work.body)
    loop, (host, port) = asyncio.get_running_loop(), target.address
    began = time.perf_counter()
    opened = [
        await loop.create_connection(
            lambda: _Asker(request, times, refused), host, port, ssl=target.tls
        )
        for _ in range(work.connections)
    ]
    await asyncio.sleep(work.seconds)
    took = time.perf_counter() - began
    for transport, _ in opened:
        transport.close()
    await asyncio.sleep(0.1)
    cuts = quantiles(times, n=100)
    return len(times) / took, len(times), (cuts[49], cuts[98]), len(refused)


def request_of(target: Target, path: str, body: str = "") -> bytes:
    """The bytes of a request."""
    host = urlsplit(target.url).netloc
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: {host}"]
    if target.token:
        lines.append(f"Authorization: Bearer {target.token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body]).encode()
