"""``pods/exec``, ``pods/attach``, ``pods/portforward``: connections joined with an agent's.

SPDY clients and those of older WebSocket protocols are passed through as they are; the newest
WebSocket protocols are translated, as upstream does: v5 of exec and attach to SPDY, and the
tunnelled SPDY of port-forward to plain SPDY.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, urlencode

from aiohttp import web

from sagong.api.call import Call, Verb
from sagong.api.errors import BadRequest
from sagong.api.log_options import is_true
from sagong.api.types import User
from sagong.server.handlers import Storage
from sagong.server.http import query as queries
from sagong.server.http.exchange import Exchange
from sagong.server.streams.joining import offered, pass_through, upgrade_headers
from sagong.server.streams.kubelets import Kubelets
from sagong.server.streams.pods import container_of, node_of, pod_of
from sagong.server.streams.remote_command import STREAM_CLOSE_PROTOCOL, Wanted, translate
from sagong.server.streams.spdy_tunnel import TUNNEL_PROTOCOL, unwrap

_OPTIONS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))

Authorize = Callable[[Call, User], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Upgrades:
    """The connections."""

    storage: Storage
    kubelets: Kubelets
    authorize: Authorize

    async def exec(self, exchange: Exchange, call: Call, rest: str) -> web.StreamResponse:
        return await self._command(exchange, call, "exec")

    async def attach(self, exchange: Exchange, call: Call, rest: str) -> web.StreamResponse:
        return await self._command(exchange, call, "attach")

    async def port_forward(self, exchange: Exchange, call: Call, rest: str) -> web.StreamResponse:
        """Raises ``api.errors``."""
        await self._check(exchange, call)
        pod = await pod_of(self.storage, call, exchange.user)
        endpoint = self.kubelets.of(node_of(pod))
        path = f"/portForward/{call.namespace}/{call.name}"
        ports = [v for n, v in parse_qsl(exchange.query) if n == "ports"]
        if ports:
            path += f"?port={quote(','.join(ports), safe=',')}"
        if TUNNEL_PROTOCOL in offered(exchange.request):
            return await unwrap(exchange.request, endpoint, path)
        return await pass_through(
            exchange.request, endpoint, path, upgrade_headers(exchange.request)
        )

    async def _command(self, exchange: Exchange, call: Call, what: str) -> web.StreamResponse:
        """Raises ``api.errors``."""
        await self._check(exchange, call)
        query = queries.parse(exchange.query)
        pod = await pod_of(self.storage, call, exchange.user)
        container = container_of(pod, query.get("container", ""))
        endpoint = self.kubelets.of(node_of(pod))
        passed_on = [(short, "1") for long, short in _OPTIONS if is_true(query, long)]
        if what == "exec":
            passed_on += [(n, v) for n, v in queries.parse_all(exchange.query) if n == "command"]
        path = f"/{what}/{call.namespace}/{call.name}/{container}?{urlencode(passed_on)}"
        if STREAM_CLOSE_PROTOCOL in offered(exchange.request):
            wanted = Wanted(*(is_true(query, long) for long, _ in _OPTIONS))
            return await translate(exchange.request, endpoint, path, wanted)
        return await pass_through(
            exchange.request, endpoint, path, upgrade_headers(exchange.request)
        )

    async def _check(self, exchange: Exchange, call: Call) -> None:
        """Only upgrades; and who opens a WebSocket (a GET) must be allowed to create as well."""
        if "upgrade" not in exchange.request.headers.get("Connection", "").lower():
            raise BadRequest("Upgrade request required")
        if call.verb is not Verb.CREATE:
            await self.authorize(replace(call, verb=Verb.CREATE), exchange.user)
