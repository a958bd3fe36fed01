"""``/exec``, ``/attach``, ``/portForward``: the runtime's streaming server, reached through us.

The CRI gives a URL for one use; the client's upgrade request is sent there and its connection and
the runtime's are joined, whatever protocol they speak (SPDY or WebSocket).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from yarl import URL

from sagong.api.types import Obj
from sagong.core.tunnel import (
    Taken,
    TunnelError,
    ask_upgrade,
    connect,
    read_refusal,
    splice,
    taken_over,
)
from sagong.node.server.pods import Pods
from sagong.node.server.refusals import Refusal

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0  # the runtime listens on this machine
# For a client to take the last of a command's output; it closes once it has.
LINGER_SECONDS = 10.0
# Of the client's request; the runtime's server is told the rest by the URL's token.
_PASSED_ON = frozenset(
    ("connection", "upgrade", "x-stream-protocol-version", "sec-websocket-key",
     "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions", "origin",
     "user-agent")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Streams:
    """Which of a container's streams are wanted."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


def streams_of(request: web.Request) -> Streams:
    """Raises Refusal if none is wanted. A terminal has no separate stderr."""
    stdin, stdout, stderr, tty = (
        request.query.get(name) == "1" for name in ("input", "output", "error", "tty")
    )
    if not (stdin or stdout or stderr):
        raise Refusal(400, "you must specify at least 1 of stdin, stdout, stderr")
    return Streams(stdin, stdout, stderr and not tty, tty)


@dataclass(frozen=True, slots=True)
class Streaming:
    """The endpoints."""

    pods: Pods

    async def exec(self, request: web.Request) -> web.StreamResponse:
        """Run a command in a running container."""
        pod = self._pod(request)
        wanted = streams_of(request)
        container = self.pods.running_container(pod, request.match_info["container"])
        answer = await self.pods.agent.cri.call(
            "Exec",
            container_id=container.id,
            cmd=request.query.getall("command", []),
            **_flags(wanted),
        )
        return await _joined(request, answer.url)

    async def attach(self, request: web.Request) -> web.StreamResponse:
        """Join the streams of a running container's first process."""
        pod = self._pod(request)
        wanted = streams_of(request)
        container = self.pods.running_container(pod, request.match_info["container"])
        answer = await self.pods.agent.cri.call(
            "Attach", container_id=container.id, **_flags(wanted)
        )
        return await _joined(request, answer.url)

    async def port_forward(self, request: web.Request) -> web.StreamResponse:
        """Connections into the pod's network."""
        pod = self._pod(request)
        sandbox = self.pods.seen(pod).sandbox
        if sandbox is None or not sandbox.ready:
            raise Refusal(500, f'pod not found ("{pod["metadata"]["name"]}")')
        answer = await self.pods.agent.cri.call(
            "PortForward", pod_sandbox_id=sandbox.id, port=_ports(request)
        )
        return await _joined(request, answer.url)

    def _pod(self, request: web.Request) -> Obj:
        match = request.match_info
        pod = self.pods.find(match["namespace"], match["pod"], match.get("uid", ""))
        if pod is None:
            raise Refusal(404, "pod does not exist")
        return pod


def _flags(wanted: Streams) -> dict[str, Any]:
    return {
        "tty": wanted.tty,
        "stdin": wanted.stdin,
        "stdout": wanted.stdout,
        "stderr": wanted.stderr,
    }


def _ports(request: web.Request) -> Sequence[int]:
    """The ports of a WebSocket's port-forward, which are in its URL. Raises Refusal."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return []
    ports = []
    for text in ",".join(request.query.getall("port", [])).split(","):
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise Refusal(400, f'invalid port "{text}"' if text else "port cannot be empty")
        ports.append(int(text))
    return ports


async def _joined(request: web.Request, url: str) -> web.StreamResponse:
    """The client's connection joined with that of a URL. Raises Refusal."""
    target = URL(url)
    try:
        backend = await connect(target.host or "", target.port or 80, None, seconds=CONNECT_SECONDS)
    except OSError as error:
        raise Refusal(500, f"error dialing backend: {error}") from error
    try:
        headers = [(n, v) for n, v in request.headers.items() if n.lower() in _PASSED_ON]
        try:
            head = await ask_upgrade(
                backend, request.method, target.raw_path_qs,
                [("Host", target.authority), *headers, ("Content-Length", "0")],
            )  # fmt: skip
        except (OSError, TunnelError) as error:
            raise Refusal(502, f"error dialing backend: {error}") from error
        if head.status != 101:
            return await read_refusal(backend, head)
        async with taken_over(request, head) as client:
            await splice(client, backend, linger_seconds=LINGER_SECONDS)
        return Taken()
    finally:
        await backend.close()
