"""Puts the parts of an API server together; the composition roots and tests call this.

Everything that differs between a real server, a test and a simulation is a parameter.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry

from sagong.api import errors
from sagong.api.resources import ResourceTable
from sagong.api.schema import Schemas
from sagong.api.types import Resource
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.tasks import task_group
from sagong.server.admission.interface import Lister, Plugin
from sagong.server.allocation.service_allocator import ServiceAllocator
from sagong.server.authn.interface import Authenticator
from sagong.server.authz.interface import Authorizer
from sagong.server.caches import Caches
from sagong.server.custom_resources.conversion import converter_of
from sagong.server.custom_resources.serving import CustomResources, Serving
from sagong.server.dispatch import ApiServer
from sagong.server.handlers import Context, Handler, Storage
from sagong.server.kinds.conversion import from_storage, storage_resource, to_storage
from sagong.server.kinds.strategy import DEFAULT, Strategy
from sagong.server.kinds.table import STRATEGIES
from sagong.server.registry.backend import Backend, Settler
from sagong.server.registry.registry import Registry
from sagong.server.registry.served import Served
from sagong.server.remote.posting import Poster
from sagong.server.subresources.table import subresource_handlers
from sagong.store.interface import Store

# Verbs that only stored resources have; what lacks them (reviews, bindings) is virtual.
_STORED_VERBS = ("list", "watch", "update")


@dataclass(slots=True)
class Security:
    """Who a request comes from, what it may do, and what becomes of it on the way."""

    authenticator: Authenticator
    authorizer: Authorizer
    # Where requests without credentials are let in; None for everywhere, if at all.
    anonymous_paths: frozenset[str] | None = None
    plugins: Sequence[Plugin] = ()
    handlers: Mapping[tuple[str, str], Handler] = field(default_factory=dict)
    settlers: Mapping[str, Settler] = field(default_factory=dict)
    allocator: ServiceAllocator | None = None
    # Those that tokens of service accounts are signed with; for all to see.
    token_keys: Sequence[ec.EllipticCurvePublicKey] = ()
    # What is to be closed when the server stops.
    closing: Sequence[Callable[[], Awaitable[None]]] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What those who decide can look at."""

    lister: Lister
    schemas: Schemas
    resources: ResourceTable
    kinds: "KindIndex"
    # The registry, once it is there: not before the first call.
    storage: Callable[[], Storage]
    # Sends reviews to webhooks.
    poster: Poster
    # What the server shows of itself under /metrics.
    metrics: CollectorRegistry


SecurityBuilder = Callable[[Surroundings], Security]


@dataclass(slots=True)
class Parts:
    """What an API server is made of."""

    store: Store
    clock: Clock
    ids: Ids
    # Makes who decides, from what the server has.
    security: SecurityBuilder
    strategies: Mapping[str, Strategy] = field(default_factory=lambda: STRATEGIES)
    store_is_local: bool = True


class KindIndex:
    """Every served resource with its strategy, schema and storage, looked up by resource."""

    def __init__(
        self, table: ResourceTable, schemas: Schemas, strategies: Mapping[str, Strategy]
    ) -> None:
        self._table = table
        self._equivalents: dict[tuple[str, str], tuple[Resource, ...]] = {}
        self._equivalents_of = table.version
        self._schemas = schemas
        self._strategies = strategies
        self._served: dict[Resource, Served] = {}

    def of(self, resource: Resource) -> Served:
        served = self._served.get(resource)
        if served is None and resource.custom:
            raise errors.unknown_resource()  # its definition has gone meanwhile
        if served is None:
            served = self._served[resource] = self._built_in(resource)
        return served

    def add(self, served: Served) -> None:
        """Serve a custom resource, in place of what was served before."""
        self._served[served.resource] = served

    def remove(self, resource: Resource) -> None:
        self._served.pop(resource, None)

    def equivalents(self, storage: Resource, subresource: str) -> tuple[Resource, ...]:
        """Served resources of all groups and versions whose objects are stored as these."""
        if self._equivalents_of != self._table.version:
            self._equivalents_of = self._table.version
            self._equivalents.clear()
        key = (storage.name, subresource)
        found = self._equivalents.get(key)
        if found is None:
            found = self._equivalents[key] = tuple(
                resource
                for resource in self._table
                if self.of(resource).storage.name == storage.name
                and (not subresource or resource.subresource(subresource) is not None)
            )
        return found

    def _built_in(self, resource: Resource) -> Served:
        storage = storage_resource(resource)
        return Served(
            resource=resource,
            storage=storage,
            strategy=self._strategies.get(resource.name, DEFAULT),
            node=self._schemas.of(resource.group, resource.version, resource.kind),
            to_storage=lambda obj: to_storage(obj, resource),
            from_storage=lambda obj: from_storage(obj, resource),
        )


@dataclass(slots=True)
class Core:
    """A running API server without its listeners."""

    server: ApiServer
    backend: Backend
    resources: ResourceTable
    schemas: Schemas
    kinds: KindIndex
    caches: Caches
    security: Security
    custom: CustomResources
    # What all parts of the process count; the server shows it at /metrics.
    metrics_registry: CollectorRegistry = field(default_factory=CollectorRegistry)


def is_stored(resource: Resource) -> bool:
    """Are there objects of this resource in the store?"""
    verbs = resource.verbs
    return any(verb in verbs for verb in _STORED_VERBS) and resource.name != "componentstatuses"


@contextlib.asynccontextmanager
async def api_server(parts: Parts) -> AsyncIterator[Core]:
    """An API server that serves ``core.server.dispatch`` while the block runs."""
    schemas = Schemas.load()
    resources = ResourceTable()
    kinds = KindIndex(resources, schemas, parts.strategies)
    caches = Caches(parts.store)
    for resource in resources:
        if is_stored(resource):
            cache = caches.add(kinds.of(resource).storage)
            caches.alias(resource.name, cache)
    registry: Registry | None = None

    def storage() -> Storage:
        assert registry is not None, "asked for the registry before there is one"
        return registry

    metrics = CollectorRegistry()
    poster = Poster(caches, parts.ids)
    security = parts.security(
        Surroundings(caches, schemas, resources, kinds, storage, poster, metrics)
    )
    backend = Backend(
        store=parts.store,
        caches=caches,
        served=kinds.of,
        clock=parts.clock,
        ids=parts.ids,
        plugins=security.plugins,
        settlers=security.settlers,
        store_is_local=parts.store_is_local,
    )
    registry = Registry(backend)
    context = Context(
        storage=registry,
        lister=caches,
        authenticator=security.authenticator,
        authorizer=security.authorizer,
        clock=parts.clock,
        ids=parts.ids,
    )
    handlers = {**subresource_handlers(schemas), **security.handlers}
    custom = CustomResources(
        Serving(
            *(resources, caches, schemas, handlers, kinds.add, kinds.remove),
            converter=lambda definition: converter_of(definition, poster, parts.ids),
        ),
        parts.clock,
    )
    server = ApiServer(
        registry=registry,
        authorizer=security.authorizer,
        handlers=handlers,
        context=context,
        is_stored=is_stored,
    )
    async with task_group() as tasks:
        backend.tasks = tasks
        await caches.load()
        if custom.load():
            await caches.load()  # again, now that it is known which objects there are
        caches.follow(tasks)
        tasks.start(custom.run(registry), name="custom resources")
        try:
            yield Core(
                server, backend, resources, schemas, kinds, caches, security, custom, metrics
            )
        finally:
            await poster.close()
            for close in security.closing:
                await close()
