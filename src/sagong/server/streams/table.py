"""Every connection that the API server takes over, by resource and subresource."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping

from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.assembly import Core
from sagong.server.http.routing import Connect
from sagong.server.streams.backend import Backend
from sagong.server.streams.kubelets import Kubelets, KubeletTls
from sagong.server.streams.logs import Logs
from sagong.server.streams.proxy import Proxy
from sagong.server.streams.upgrades import Upgrades

Connections = Mapping[tuple[str, str], Connect]


@contextlib.asynccontextmanager
async def connections(
    core: Core, tls: KubeletTls, clock: Clock, ids: Ids
) -> AsyncIterator[Connections]:
    """The table, while the block runs."""
    storage, backend = core.server.registry, Backend()
    kubelets = Kubelets(lambda name: core.caches.get("nodes", "", name), tls.context())
    proxy = Proxy(storage, core.caches, kubelets, backend, ids, _insecure())
    upgrades = Upgrades(storage, kubelets, core.server.authorize)
    try:
        yield {
            ("pods", "log"): Logs(storage, kubelets, backend, clock).connect,
            ("pods", "exec"): upgrades.exec,
            ("pods", "attach"): upgrades.attach,
            ("pods", "portforward"): upgrades.port_forward,
            ("pods", "proxy"): proxy.pod,
            ("services", "proxy"): proxy.service,
            ("nodes", "proxy"): proxy.node,
        }
    finally:
        await backend.close()


def _insecure() -> ssl.SSLContext:
    """TLS without verification, as upstream's proxy transport has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
