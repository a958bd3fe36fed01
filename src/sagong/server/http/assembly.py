"""The HTTPS side of an API server, put together."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.aggregation.aggregator import Aggregator
from sagong.server.assembly import Core
from sagong.server.authn.service_accounts import ISSUER
from sagong.server.discovery.endpoints import Discovery
from sagong.server.endpoints.health import Check, Health
from sagong.server.endpoints.metrics import Metrics
from sagong.server.endpoints.openid import openid_endpoints
from sagong.server.endpoints.paths import paths
from sagong.server.endpoints.store_checks import cache_check, store_check
from sagong.server.endpoints.version import KUBERNETES, version
from sagong.server.fairness.turns import Turns
from sagong.server.http.asking import FindTarget
from sagong.server.http.audit import Auditor
from sagong.server.http.authentication import authentication
from sagong.server.http.exchange import Middleware
from sagong.server.http.failures import failures
from sagong.server.http.fairness import Fairness
from sagong.server.http.impersonation import impersonation
from sagong.server.http.routing import Connect, Endpoint, Router
from sagong.server.http.server import HttpServer
from sagong.server.openapi.documents import OpenApi
from sagong.server.openapi.endpoints import OpenApiEndpoints


@dataclass(slots=True)
class Front:
    """What the HTTPS side needs besides the server's core."""

    clock: Clock
    ids: Ids
    tls: ssl.SSLContext | None
    # host:port as clients are told of it
    address: str
    auditor: Callable[[FindTarget], Auditor] | None = None
    # Between impersonation and routing.
    middlewares: Sequence[Middleware] = ()
    connections: Mapping[tuple[str, str], Connect] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    aggregator: Aggregator | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    readiness: Mapping[str, Check] = field(default_factory=dict)


def http_server(core: Core, front: Front) -> HttpServer:
    """The listener of an API server."""
    discovery = Discovery(core.resources, front.address, front.aggregator)
    store = core.backend.store
    health = Health(
        {"ping": _fine, "log": _fine, "etcd": store_check(store), **front.checks},
        {
            "etcd-readiness": store_check(store),
            "informer-sync": cache_check(store, core.caches),
            **front.readiness,
        },
    )
    metrics = Metrics(front.clock, core.caches, core.metrics_registry)
    fixed: dict[str, Endpoint] = {
        "/version": version,
        "/metrics": metrics.endpoint,
        **openid_endpoints(issuer=ISSUER, address=front.address, keys=core.security.token_keys),
        **front.endpoints,
    }
    documents = OpenApi(
        core.resources,
        core.schemas.definitions,
        lambda *gvk: core.schemas.definition_name(*gvk) or core.custom.definition_name(*gvk),
        version=f"v{KUBERNETES}",
        custom=core.custom.definitions,
        aggregator=front.aggregator,
    )
    openapi = OpenApiEndpoints(documents)
    fixed["/"] = paths(
        core.resources, lambda: [*fixed, *health.paths(), "/openapi/v2", "/openapi/v3"]
    )

    def find(path: str) -> Endpoint | None:
        found = fixed.get(path) or fixed.get(path.rstrip("/"))
        return found or discovery.endpoint(path) or health.endpoint(path) or openapi.endpoint(path)

    router = Router(
        core.server,
        core.resources,
        front.clock,
        find,
        front.connections,
        core.custom.printer_of,
        front.aggregator,
    )
    fairness = Fairness(core.caches, router.target, Turns(front.clock.monotonic))
    metrics.register(fairness)
    outer = [
        metrics.middleware(),
        failures(metrics.count_panic),
        authentication(core.security.authenticator, core.security.anonymous_paths),
    ]
    if front.auditor is not None:
        outer.append(front.auditor(router.target).middleware())
    return HttpServer(
        handler=router.handle,
        middlewares=[
            *outer,
            impersonation(core.security.authorizer),
            fairness.middleware(),
            *front.middlewares,
        ],
        clock=front.clock,
        ids=front.ids,
        tls=front.tls,
        on_stop=core.caches.end_watches,
        manner_of=router.manner,
    )


async def _fine() -> str | None:
    """Whoever can answer is well."""
    return None
