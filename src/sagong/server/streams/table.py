"""Every connection that the API server takes over, by resource and subresource.

What serves them is imported and made when the first of them comes.
"""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagong.api.call import Call
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.assembly import Core
from sagong.server.http.exchange import Exchange
from sagong.server.http.routing import Connect
from sagong.server.streams.agents import Agents
from sagong.server.streams.kubelet_tls import KubeletTls

if TYPE_CHECKING:
    from aiohttp import web

Connections = Mapping[tuple[str, str], Connect]

# The resources and subresources whose requests take over their connection.
TAKING = (
    ("pods", "log"),
    ("pods", "exec"),
    ("pods", "attach"),
    ("pods", "portforward"),
    ("pods", "proxy"),
    ("services", "proxy"),
    ("nodes", "proxy"),
)


@contextlib.asynccontextmanager
async def connections(
    core: Core, tls: KubeletTls, clock: Clock, ids: Ids
) -> AsyncIterator[Connections]:
    """The table, while the block runs."""
    agents = Agents(core.caches, tls)
    later = _Later(core, agents, clock, ids)
    try:
        yield {key: later.connect(key) for key in TAKING}
    finally:
        await agents.close()


@dataclass(slots=True)
class _Later:
    """The handlers, made when the first is needed."""

    core: Core
    agents: Agents
    clock: Clock
    ids: Ids
    _made: Connections | None = field(init=False, default=None)

    def connect(self, key: tuple[str, str]) -> Connect:
        async def run(exchange: Exchange, call: Call, rest: str) -> "web.StreamResponse":
            if self._made is None:
                self._made = self._make()
            return await self._made[key](exchange, call, rest)

        return run

    def _make(self) -> Connections:
        from sagong.server.streams.logs import Logs
        from sagong.server.streams.proxy import Proxy
        from sagong.server.streams.upgrades import Upgrades

        core = self.core
        storage = core.server.registry
        kubelets, backend = self.agents.kubelets, self.agents.backend
        proxy = Proxy(storage, core.caches, kubelets, backend, self.ids, _insecure())
        upgrades = Upgrades(storage, kubelets, core.server.authorize)
        return {
            ("pods", "log"): Logs(storage, kubelets, backend, self.clock).connect,
            ("pods", "exec"): upgrades.exec,
            ("pods", "attach"): upgrades.attach,
            ("pods", "portforward"): upgrades.port_forward,
            ("pods", "proxy"): proxy.pod,
            ("services", "proxy"): proxy.service,
            ("nodes", "proxy"): proxy.node,
        }


def _insecure() -> ssl.SSLContext:
    """TLS without verification, as upstream's proxy transport has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
