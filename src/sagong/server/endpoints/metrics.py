"""``/metrics``: what the server counts of its requests and watches, in Prometheus' text form.

Names and labels are upstream's (``apiserver/pkg/endpoints/metrics``), so that dashboards fit.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from sagong.core.clock import Clock
from sagong.server.caches import Caches
from sagong.server.http.exchange import Exchange, Middleware, Next
from sagong.server.http.messages import Answered, Response

# Upstream's buckets, the finer ones of the middle left out.
_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6, 10, 20, 60)
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")


class Metrics:
    """The server's counters; one registry a server, none is global."""

    def __init__(self, clock: Clock, caches: Caches, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._caches = caches
        self._registry = registry
        self._requests = Counter(
            "apiserver_request",
            "Requests by verb, dry run, resource, scope and response code.",
            ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "code"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "apiserver_request_duration_seconds",
            "Response latency in seconds, watches and connections excepted.",
            _LABELS,
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._inflight = Gauge(
            "apiserver_current_inflight_requests",
            "Requests under way, by kind.",
            ("request_kind",),
            registry=self._registry,
        )
        self._panics = Counter(
            "apiserver_panics", "Requests that failed unforeseen.", registry=self._registry
        )
        self._watchers = Gauge(
            "apiserver_longrunning_requests",
            "Watches under way, by resource.",
            ("group", "resource"),
            registry=self._registry,
        )
        self._objects = Gauge(
            "apiserver_resource_objects",
            "Stored objects, by resource.",
            ("group", "resource"),
            registry=self._registry,
        )
        # Label children are looked up once per combination, not once per request.
        self._children: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}

    def count_panic(self) -> None:
        self._panics.inc()

    def middleware(self) -> Middleware:
        """Counts every request that goes through."""
        reading = self._inflight.labels("readOnly")
        mutating = self._inflight.labels("mutating")

        async def run(exchange: Exchange, following: Next) -> Answered:
            gauge = reading if exchange.method in ("GET", "HEAD") else mutating
            gauge.inc()
            code = 499  # the client went away
            try:
                response = await following(exchange)
                code = response.status
                return response
            finally:
                gauge.dec()
                self._observe(exchange, code)

        return run

    def _observe(self, exchange: Exchange, code: int) -> None:
        verb = exchange.verb.upper()
        key = (
            verb,
            "All" if exchange.dry_run else "",
            exchange.group,
            exchange.version,
            exchange.resource,
            exchange.subresource,
            exchange.scope,
            str(code),
        )
        children = self._children.get(key)
        if children is None:
            labels = (verb, *key[2:7])
            children = (self._requests.labels(*key), self._durations.labels(*labels))
            self._children[key] = children
        children[0].inc()
        if verb not in ("WATCH", "CONNECT"):
            children[1].observe(self._clock.monotonic() - exchange.started)

    async def endpoint(self, exchange: Exchange) -> Answered:
        """The answer to ``/metrics``."""
        for cache in self._caches.all():
            resource = cache.resource
            self._watchers.labels(resource.group, resource.plural).set(cache.watcher_count)
            self._objects.labels(resource.group, resource.plural).set(len(cache))
        data = generate_latest(self._registry)
        return Response(body=data, headers={"Content-Type": CONTENT_TYPE_LATEST})
