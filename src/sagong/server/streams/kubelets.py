"""Where a node's agent listens, and connections to it as the API server.

Addresses are taken from ``Node.status``, in kubeadm's order of preference.
"""

import asyncio
import errno
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from sagong.api.errors import ApiError, not_found
from sagong.api.types import Encoded, Obj
from sagong.core.tunnel import Connection, connect

KUBELET_PORT = 10250
CONNECT_SECONDS = 10.0  # past it the node counts as unreachable
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")


class Unreachable(ApiError):
    """A node or pod that cannot be reached: 500 without a reason, as upstream answers."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something that can be connected to."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""  # whom its certificate must name, if not the host

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    async def open(self) -> Connection:
        """Raises OSError (TimeoutError, ssl.SSLError among them)."""
        return await connect(
            self.host,
            self.port,
            self.tls,
            seconds=CONNECT_SECONDS,
            server_name=self.server_name,
        )


@dataclass(frozen=True, slots=True)
class Kubelets:
    """Endpoints of agents by node name."""

    find_node: Callable[[str], Encoded | None]
    tls: ssl.SSLContext

    def of(self, node: str) -> Endpoint:
        """Raises NotFound, Unreachable (a node without an address)."""
        found = self.find_node(node)
        if found is None:
            raise not_found("", "nodes", node)
        return Endpoint(address_of(found.obj), port_of(found.obj), self.tls)


def address_of(node: Obj) -> str:
    """Raises Unreachable."""
    addresses = (node.get("status") or {}).get("addresses") or []
    for type_ in ADDRESS_TYPES:
        for address in addresses:
            if address["type"] == type_:
                return str(address["address"])
    raise Unreachable(f"no preferred addresses found; known addresses: {addresses}")


def port_of(node: Obj) -> int:
    endpoints = (node.get("status") or {}).get("daemonEndpoints") or {}
    return int((endpoints.get("kubeletEndpoint") or {}).get("Port") or KUBELET_PORT)


def dial_text(endpoint: Endpoint, error: BaseException) -> str:
    """Why a connection could not be made, in Go's words, which people look for."""
    where = f"dial tcp {endpoint.authority}"
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return f"{where}: i/o timeout"
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    if isinstance(error, OSError) and error.errno in errno.errorcode:
        return f"{where}: connect: {os.strerror(error.errno or 0).lower()}"
    return f"{where}: {error}"
