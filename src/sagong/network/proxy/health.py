"""What load balancers and monitoring ask a node about its service proxy, over HTTP.

    :10256/healthz, /livez     whether services are written in time; 503 also while the node leaves
    :<healthCheckNodePort>/    how many local endpoints a service has; 503 without one
    127.0.0.1:10249/metrics    Prometheus' text

Ports, answers and conditions are kube-proxy's (``pkg/proxy/healthcheck``).
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

import orjson
from aiohttp import web

from sagong.api.types import Key, Obj
from sagong.core.clock import Clock, format_time
from sagong.network.tables.writer import Health

log = logging.getLogger(__name__)

HEALTH_PORT = 10256
METRICS_PORT = 10249
LATE_SECONDS = 60.0  # a change that waits longer than this is one that the proxy fails to write
BIND_RETRY_SECONDS = 5.0
# The autoscaler is about to remove the node: balancers are to stop sending.
LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler"

Answer = tuple[int, Mapping[str, str], bytes]
Answering = Callable[[str], Awaitable[Answer]]  # of a path


@dataclass(frozen=True, slots=True)
class LocalEndpoints:
    """A service that asks for a health check on its own port, and its ready local endpoints."""

    service: Key
    count: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the answers come from."""

    health: Callable[[], Health]
    node: Callable[[], Obj | None]
    checks: Callable[[], Mapping[tuple[str, int], LocalEndpoints]]  # by host and port
    metrics: Callable[[], Awaitable[str]]


def is_healthy(health: Health, now: float) -> bool:
    """Nothing waits to be written for long, and something ever was."""
    return health.last_sync > 0 and not (
        health.waiting_since and now - health.waiting_since > LATE_SECONDS
    )


def is_eligible(node: Obj | None) -> bool:
    """False for a node that is leaving."""
    if node is None or node["metadata"].get("deletionTimestamp"):
        return False
    taints = (node.get("spec") or {}).get("taints") or ()
    return all(taint["key"] != LEAVING_TAINT for taint in taints)


def proxy_answer(health: Health, node: Obj | None, path: str, now: float) -> Answer:
    """``/healthz`` takes the node's fate into account, ``/livez`` does not."""
    if path not in ("/healthz", "/livez"):
        return 404, {}, b"404 page not found\n"
    eligible = is_eligible(node)
    fine = is_healthy(health, now) and (eligible or path == "/livez")
    updated = now if fine and not health.waiting_since else health.last_sync
    body = {"lastUpdated": format_time(updated), "currentTime": format_time(now)}
    return _json(200 if fine else 503, {**body, "nodeEligible": eligible})


def service_answer(check: LocalEndpoints, healthy: bool) -> Answer:
    named = {"namespace": check.service.namespace, "name": check.service.name}
    body = {"service": named, "localEndpoints": check.count, "serviceProxyHealthy": healthy}
    status, headers, data = _json(200 if check.count and healthy else 503, body)
    return status, {**headers, "X-Load-Balancing-Endpoint-Weight": str(check.count)}, data


def _json(status: int, body: Obj) -> Answer:
    headers = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
    return status, headers, orjson.dumps(body)


class HealthServer:
    """Listens on the ports that the facts ask for, whichever those are."""

    def __init__(
        self, facts: Facts, clock: Clock, changed: asyncio.Event, hosts: Collection[str]
    ) -> None:
        """``changed`` is set when the checks may differ; ``hosts`` has "all addresses" of each
        family of the node."""
        self._hosts = hosts
        self._facts = facts
        self._clock = clock
        self._changed = changed
        self._listening: dict[tuple[str, int], asyncio.Server] = {}
        self._refused: set[tuple[str, int]] = set()  # said once

    async def run(self) -> None:
        """Until cancelled; a port that somebody else has is tried again."""
        try:
            while True:
                self._changed.clear()
                failed = await self._listen()
                try:
                    async with asyncio.timeout(BIND_RETRY_SECONDS if failed else None):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            for server in self._listening.values():
                server.close()
            self._listening.clear()

    async def _listen(self) -> bool:
        wanted: dict[tuple[str, int], Answering] = {
            ("127.0.0.1", METRICS_PORT): self._metrics,
        }
        wanted |= {(host, HEALTH_PORT): self._proxy for host in self._hosts}
        wanted |= {
            address: functools.partial(self._service, address) for address in self._facts.checks()
        }
        for address in self._listening.keys() - wanted.keys():
            self._listening.pop(address).close()
        failed = False
        for address in wanted.keys() - self._listening.keys():
            try:
                self._listening[address] = await _serve(*address, wanted[address])
            except OSError as error:
                failed = True
                if address not in self._refused:
                    self._refused.add(address)
                    log.warning("health checks cannot listen on %s:%d: %s", *address, error)
        self._refused -= self._listening.keys()
        return failed

    async def _proxy(self, path: str) -> Answer:
        return proxy_answer(self._facts.health(), self._facts.node(), path, self._clock.now())

    async def _service(self, address: tuple[str, int], path: str) -> Answer:
        check = self._facts.checks().get(address)
        if check is None:
            return 503, {}, b"no such service\n"
        return service_answer(check, is_healthy(self._facts.health(), self._clock.now()))

    async def _metrics(self, path: str) -> Answer:
        if path != "/metrics":
            return 404, {}, b"404 page not found\n"
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return 200, headers, (await self._facts.metrics()).encode()


async def _serve(host: str, port: int, answering: Answering) -> asyncio.Server:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        status, headers, body = await answering(request.path)
        return web.Response(status=status, headers=headers, body=body)

    loop = asyncio.get_running_loop()
    return await loop.create_server(web.Server(handle), host, port, reuse_address=True)
