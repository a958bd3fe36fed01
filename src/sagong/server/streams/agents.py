"""The API server's connections to agents, made and imported when the first is needed.

A server that is starting, or has no nodes, does without the HTTP client.
"""

from typing import TYPE_CHECKING

from sagong.server.admission.interface import Lister
from sagong.server.streams.kubelet_tls import KubeletTls

if TYPE_CHECKING:
    from sagong.server.streams.backend import Backend
    from sagong.server.streams.kubelets import Kubelets


class Agents:
    """Where agents are, and the client that talks to them. To be closed."""

    def __init__(self, lister: Lister, tls: KubeletTls) -> None:
        self._lister = lister
        self._tls = tls
        self._kubelets: Kubelets | None = None
        self._backend: Backend | None = None

    @property
    def kubelets(self) -> "Kubelets":
        if self._kubelets is None:
            from sagong.server.streams.kubelets import Kubelets

            lister = self._lister
            self._kubelets = Kubelets(
                lambda name: lister.get("nodes", "", name), self._tls.context()
            )
        return self._kubelets

    @property
    def backend(self) -> "Backend":
        if self._backend is None:
            from sagong.server.streams.backend import Backend

            self._backend = Backend()
        return self._backend

    async def close(self) -> None:
        if self._backend is not None:
            await self._backend.close()
