"""The composition root of ``sagong server``: builds everything by hand, no logic."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from sagong.api.types import User
from sagong.client.client import Client
from sagong.client.in_process import InProcess
from sagong.cmd.control_plane import control_plane
from sagong.controllers.configured import Settings
from sagong.core.clock import Clock, SystemClock
from sagong.core.ids import Ids, SystemIds
from sagong.server.assembly import Core, Parts, api_server
from sagong.server.authn.static_tokens import StaticTokenAuthenticator, parse_tokens
from sagong.server.authn.union import UnionAuthenticator
from sagong.server.authn.x509 import X509Authenticator
from sagong.server.authz.interface import Attributes, Decision, Effect
from sagong.server.bootstrap_objects import bootstrap_objects
from sagong.server.http.assembly import Front, http_server
from sagong.server.http.server import Listening
from sagong.server.http.tls import server_context
from sagong.server.pki.directory import Pki, ensure_pki, read_pair, write_kubeconfig
from sagong.server.pki.signing import Signer
from sagong.store.drivers.memory import MemoryStore
from sagong.store.drivers.sqlite import SqliteStore
from sagong.store.interface import Store


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The settings of one server."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 6443
    advertise_address: str = "127.0.0.1"
    token_auth_file: Path | None = None
    service_cidr: str = "10.96.0.0/16"
    cluster_cidr: str = "10.244.0.0/16"  # cut into one range of pod addresses a node
    node_grace_seconds: float = 50.0  # how long a node may be silent
    store: str = "sqlite"  # or "memory"


@dataclass(slots=True)
class Running:
    """A server that answers."""

    core: Core
    client: Client
    url: str
    listening: Listening
    pki: Pki
    kubeconfig: Path


# Who the server itself acts as (upstream's loopback client).
_SYSTEM = User("system:apiserver", groups=("system:masters", "system:authenticated"))


class AllowAll:
    """Placeholder until RBAC and its bootstrap roles are wired in."""

    async def authorize(self, attributes: Attributes) -> Decision:
        return Decision(Effect.ALLOW)


async def run_server(config: ServerConfig) -> None:
    """Serve, control and schedule until cancelled; says one line when ready."""
    clock, ids = SystemClock(), SystemIds()
    async with serving(config, clock=clock, ids=ids) as running:
        core = running.core
        settings = Settings(
            ca_certificate=running.pki.authority.certificate_pem.decode(),
            signer=Signer(running.pki.authority, clock),
            cluster_cidr=config.cluster_cidr,
            node_grace_seconds=config.node_grace_seconds,
        )
        async with control_plane(core.server.dispatch, core.resources, settings, clock, ids):
            where = f"{running.url} (kubeconfig {running.kubeconfig})"
            print(f"sagong server is ready: {where}", flush=True)
            await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def serving(
    config: ServerConfig, *, clock: Clock | None = None, ids: Ids | None = None
) -> AsyncIterator[Running]:
    """A whole API server, listening while the block runs."""
    clock, ids = clock or SystemClock(), ids or SystemIds()
    config.data_dir.mkdir(parents=True, exist_ok=True)
    pki = ensure_pki(config.data_dir / "pki", clock=clock, addresses=[config.advertise_address])
    authenticator = UnionAuthenticator(
        [X509Authenticator()], [_static_tokens(config)], api_audiences=["https://kubernetes"]
    )
    store = open_store(config)
    parts = Parts(store, clock, ids, authenticator, AllowAll())
    try:
        async with api_server(parts) as core:
            address = f"{config.advertise_address}:{config.port}"
            tls = server_context(
                certificate=pki.certificate_file("apiserver"),
                key=pki.key_file("apiserver"),
                client_ca=pki.ca_file,
            )
            http = http_server(core, Front(clock, ids, authenticator, tls, address))
            client = Client(InProcess(core.server.dispatch, _SYSTEM), core.resources)
            await bootstrap_objects(
                client, address=config.advertise_address, port=config.port, cidr=config.service_cidr
            )
            async with http.listen(config.host, config.port) as listening:
                url = f"https://{listening.host}:{listening.port}"
                kubeconfig = _write_admin_kubeconfig(config, pki, url)
                yield Running(core, client, url, listening, pki, kubeconfig)
    finally:
        await store.close()


def open_store(config: ServerConfig) -> Store:
    """The store that the configuration names. Raises ValueError, store Unavailable."""
    if config.store == "memory":
        return MemoryStore()
    if config.store == "sqlite":
        return SqliteStore(config.data_dir / "state.db")
    raise ValueError(f"no such store: {config.store}")


def _static_tokens(config: ServerConfig) -> StaticTokenAuthenticator:
    text = config.token_auth_file.read_text() if config.token_auth_file else ""
    return StaticTokenAuthenticator(parse_tokens(text))


def _write_admin_kubeconfig(config: ServerConfig, pki: Pki, url: str) -> Path:
    path = config.data_dir / "admin.kubeconfig"
    pair = read_pair(pki.directory, "admin")
    assert pair is not None
    write_kubeconfig(path, server=url, ca_pem=pki.ca_file.read_bytes(), user="admin", pair=pair)
    return path
