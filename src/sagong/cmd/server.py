"""The composition root of ``sagong server``: builds everything by hand, no logic."""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagong.api.address_pools import parse_pool
from sagong.api.protobuf.messages import Messages
from sagong.api.resources import BUILT_IN
from sagong.api.types import User
from sagong.client.client import Client
from sagong.client.in_process import InProcess
from sagong.cmd.access_files import NO_FILES, AccessFiles
from sagong.cmd.settings_files import read_yaml
from sagong.cmd.tuning import give_memory_back, raise_file_limit, settle_memory
from sagong.core.clock import Clock, SystemClock
from sagong.core.ids import Ids, SystemIds
from sagong.core.tasks import task_group
from sagong.server.aggregation.aggregator import Aggregator, aggregation
from sagong.server.aggregation.identity import authentication_config
from sagong.server.api_services import ensure_api_services
from sagong.server.assembly import Core, Parts, api_server
from sagong.server.audit.log import STANDARD_OUTPUT, AuditLog, LogSettings
from sagong.server.audit.policy import parse as parse_policy
from sagong.server.authn.static_tokens import parse_tokens
from sagong.server.bootstrap.reconcile import SERVER_USER, reconcile_bootstrap
from sagong.server.bootstrap_objects import bootstrap_objects, service_address
from sagong.server.http.asking import FindTarget
from sagong.server.http.assembly import Front, http_server
from sagong.server.http.audit import Auditor
from sagong.server.http.server import HttpServer, Listening
from sagong.server.http.tls import server_context
from sagong.server.metrics_api.resources import metrics_api
from sagong.server.pki.directory import (
    FRONT_PROXY,
    FRONT_PROXY_CA,
    Pki,
    ensure_pki,
    read_pair,
    write_kubeconfig,
)
from sagong.server.security import SecuritySettings, security_builder
from sagong.server.streams.kubelet_tls import KubeletTls
from sagong.server.streams.table import Connections, connections
from sagong.server.upkeep import upkeep
from sagong.store.drivers.memory import MemoryStore
from sagong.store.drivers.sqlite import SqliteStore
from sagong.store.interface import Store

if TYPE_CHECKING:
    from sagong.scheduler.configuration import SchedulerSettings


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The settings of one server."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 6443  # 0: whichever is free
    advertise_address: str = "127.0.0.1"
    token_auth_file: Path | None = None
    service_cidr: str = "10.96.0.0/16"
    cluster_cidr: str = "10.244.0.0/16"
    node_grace_seconds: float = 50.0
    load_balancer_pools: Sequence[str] = ()  # ranges; none: services have the nodes' addresses
    scheduler_config: Path | None = None  # KubeSchedulerConfiguration; else its defaults
    access: AccessFiles = NO_FILES
    audit_policy_file: Path | None = None  # without a policy nothing is recorded
    audit_log: LogSettings = STANDARD_OUTPUT
    encryption_provider_config: Path | None = None
    store: str = "sqlite"  # or "memory"
    leader_elect: bool = False  # of several servers over one store, one runs the controllers


@dataclass(slots=True)
class Running:
    """An API server that answers."""

    core: Core
    url: str
    listening: Listening
    pki: Pki
    kubeconfig: Path
    aggregator: Aggregator

    def client(self, user: User, *, user_agent: str = "sagong") -> Client:
        """A client in this process that acts as ``user``."""
        transport = InProcess(self.core.server.dispatch, user)
        return Client(transport, self.core.resources, user_agent=user_agent)


async def run_server(config: ServerConfig) -> None:
    """The whole control plane, until cancelled; says one line when ready.

    Raises ConfigurationError for a scheduler's configuration that cannot be used.
    """
    scheduling = read_scheduler_config(config.scheduler_config)
    raise_file_limit()
    give_memory_back()
    clock, ids = SystemClock(), SystemIds()
    async with serving(config, clock=clock, ids=ids) as running:
        # The API answers before its controllers and the scheduler, slow to import, are there; and
        # while they are imported.
        await asyncio.to_thread(importlib.import_module, "sagong.cmd.control_plane")
        from sagong.cmd.control_plane import control_plane
        from sagong.cmd.leading import elected
        from sagong.controllers.configured import Settings
        from sagong.ctl.metrics import QueueMetrics
        from sagong.server.aggregation.in_process import aggregating
        from sagong.server.pki.signing import Signer

        settings = Settings(
            ca_certificate=running.pki.ca_file.read_text(),
            signer=Signer(running.pki.authority, clock),
            cluster_cidr=config.cluster_cidr,
            node_grace_seconds=config.node_grace_seconds,
            load_balancer_pools=tuple(map(parse_pool, config.load_balancer_pools)),
        )
        core = running.core
        dispatch = aggregating(core.server, running.aggregator)
        metrics = QueueMetrics(core.metrics_registry)

        def plane() -> contextlib.AbstractAsyncContextManager[object]:
            return control_plane(
                dispatch, core.resources, settings, clock, ids, scheduling, metrics
            )

        async with (
            elected(core.server.dispatch, core.resources, clock, ids, plane)
            if config.leader_elect
            else plane()
        ):
            print(f"sagong server ready at {running.url}, {running.kubeconfig}", flush=True)
            settle_memory()
            await asyncio.Event().wait()


def read_scheduler_config(path: Path | None) -> "SchedulerSettings | None":
    """The scheduler's settings from a file; None where there is no file. Raises OSError too."""
    if path is None:
        return None
    import yaml

    from sagong.scheduler.config_errors import ConfigurationError
    from sagong.scheduler.configuration import settings_of

    try:
        return settings_of(read_yaml(path))
    except yaml.YAMLError as error:
        raise ConfigurationError([f"{path}: {error}"]) from error


@contextlib.asynccontextmanager
async def serving(config: ServerConfig, *, clock: Clock, ids: Ids) -> AsyncIterator[Running]:
    """An API server without controllers, listening while the block runs."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    pki = ensure_pki(
        config.data_dir / "pki",
        clock=clock,
        service_address=service_address(config.service_cidr),
        addresses=[config.advertise_address],
    )
    store = open_store(config)
    try:
        parts = Parts(store, clock, ids, security_builder(_security(config, pki, clock, ids)))
        kubelet_tls = KubeletTls(
            pki.certificate_file("apiserver-kubelet-client"),
            pki.key_file("apiserver-kubelet-client"),
        )
        async with (
            api_server(parts) as core,
            connections(core, kubelet_tls, clock, ids) as streams,
            metrics_api(core, kubelet_tls),
            aggregation(
                core, pki.certificate_file(FRONT_PROXY), pki.key_file(FRONT_PROXY)
            ) as aggregator,
        ):
            http = _http(core, config, pki, Outside(streams, aggregator))
            await reconcile_bootstrap(core.server.registry, SERVER_USER, core.caches)
            async with (
                upkeep(core, core.security.allocator),
                _rewriting(store),
                http.listen(config.host, config.port) as listening,
            ):
                url = f"https://{_reachable(listening.host)}:{listening.port}"
                kubeconfig = config.data_dir / "admin.kubeconfig"
                running = Running(core, url, listening, pki, kubeconfig, aggregator)
                await ensure_api_services(running.client(SERVER_USER))
                await bootstrap_objects(
                    running.client(SERVER_USER),
                    address=config.advertise_address,
                    port=listening.port,
                    cidr=config.service_cidr,
                    authentication=authentication_config(
                        client_ca=pki.ca_file.read_text(),
                        proxy_ca=pki.certificate_file(FRONT_PROXY_CA).read_text(),
                    ),
                )
                _write_admin_kubeconfig(running)
                yield running
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def _rewriting(store: Store) -> AsyncIterator[None]:
    """Bring values under today's key in the background, if the store encrypts."""
    rewrite = getattr(store, "rewrite", None)
    async with task_group() as tasks:
        if rewrite is not None:
            tasks.start(rewrite(), name="rewriting under the newest key")
        yield


def _reachable(host: str) -> str:
    """Where this machine's own clients reach a listener: "all addresses" is none of them."""
    if host == "::":
        return "[::1]"
    if host == "0.0.0.0":
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def open_store(config: ServerConfig) -> Store:
    """The store that the configuration names, encrypted if it says so.

    Raises ValueError, BadConfiguration, store Unavailable.
    """
    inner = _plain_store(config)
    if config.encryption_provider_config is None:
        return inner
    # The ciphers are only needed with a file.
    from sagong.server.encryption.configuration import parse
    from sagong.server.encryption.store import EncryptedStore

    encryption = parse(read_yaml(config.encryption_provider_config))
    core = frozenset(resource.plural for resource in BUILT_IN if not resource.group)
    return EncryptedStore(inner, encryption, core)


def _plain_store(config: ServerConfig) -> Store:
    if config.store == "memory":
        return MemoryStore()
    if config.store == "sqlite":
        return SqliteStore(config.data_dir / "state.db")
    raise ValueError(f"no such store: {config.store}")


def _security(config: ServerConfig, pki: Pki, clock: Clock, ids: Ids) -> SecuritySettings:
    text = config.token_auth_file.read_text() if config.token_auth_file else ""
    return SecuritySettings(
        clock=clock,
        ids=ids,
        service_cidr=config.service_cidr,
        static_tokens=parse_tokens(text),
        account_key_pem=pki.service_account_key_pem,
        access=config.access.access(),
        admission=config.access.admission(),
    )


@dataclass(frozen=True, slots=True)
class Outside:
    """What passes requests on."""

    streams: Connections
    aggregator: Aggregator


def _http(core: Core, config: ServerConfig, pki: Pki, outside: Outside) -> HttpServer:
    tls = server_context(
        certificate=pki.serving_chain_file,
        key=pki.key_file("apiserver"),
        client_ca=pki.ca_file,
    )
    host = config.advertise_address
    address = f"[{host}]:{config.port}" if ":" in host else f"{host}:{config.port}"
    front = Front(
        core.backend.clock,
        core.backend.ids,
        tls,
        address,
        _auditor(config, core.backend.clock),
        connections=outside.streams,
        aggregator=outside.aggregator,
    )
    return http_server(core, front)


def _auditor(config: ServerConfig, clock: Clock) -> Callable[[FindTarget], Auditor] | None:
    """Raises BadPolicy, OSError."""
    if config.audit_policy_file is None:
        return None
    policy = parse_policy(read_yaml(config.audit_policy_file))
    log = AuditLog(config.audit_log, clock)
    return lambda find: Auditor(policy, log, clock, find, Messages())


def _write_admin_kubeconfig(running: Running) -> None:
    pair = read_pair(running.pki.directory, "admin")
    assert pair is not None
    ca_pem = running.pki.ca_file.read_bytes()
    write_kubeconfig(running.kubeconfig, server=running.url, ca_pem=ca_pem, user="admin", pair=pair)
