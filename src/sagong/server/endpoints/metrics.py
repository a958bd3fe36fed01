"""``/metrics``: what the server counts of its requests and watches, in Prometheus' text form.

Names and labels are upstream's (``apiserver/pkg/endpoints/metrics``), so that dashboards fit.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from sagong.core.clock import Clock
from sagong.server.caches import Caches
from sagong.server.endpoints.request_counts import RequestCounts
from sagong.server.http.exchange import Exchange, Middleware, Next
from sagong.server.http.messages import Answered, Response


class Metrics:
    """The server's counters; one registry a server, none is global."""

    def __init__(self, clock: Clock, caches: Caches) -> None:
        self._clock = clock
        self._caches = caches
        self._registry = CollectorRegistry()
        self._requests = RequestCounts()
        self._registry.register(self._requests)
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

    def register(self, collector: Collector) -> None:
        """Show another part's metrics too."""
        self._registry.register(collector)

    def count_panic(self) -> None:
        self._panics.inc()

    def middleware(self) -> Middleware:
        """Counts every request that goes through."""
        counts, monotonic = self._requests, self._clock.monotonic

        async def run(exchange: Exchange, following: Next) -> Answered:
            reads = exchange.method in ("GET", "HEAD")
            if reads:
                counts.reading += 1
            else:
                counts.mutating += 1
            code = 499  # the client went away
            try:
                response = await following(exchange)
                code = response.status
                return response
            finally:
                if reads:
                    counts.reading -= 1
                else:
                    counts.mutating -= 1
                counts.add(exchange, code, monotonic() - exchange.started)

        return run

    async def endpoint(self, exchange: Exchange) -> Answered:
        """The answer to ``/metrics``."""
        for cache in self._caches.all():
            resource = cache.resource
            self._watchers.labels(resource.group, resource.plural).set(cache.watcher_count)
            self._objects.labels(resource.group, resource.plural).set(len(cache))
        data = generate_latest(self._registry)
        return Response(body=data, headers={"Content-Type": CONTENT_TYPE_LATEST})
