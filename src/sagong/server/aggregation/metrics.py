"""What is counted of extensions, under kube-aggregator's names."""

import contextlib

from prometheus_client import CollectorRegistry, Gauge

from sagong.server.aggregation.conditions import State


class Availability:
    """Which extensions cannot be reached, and how often each could not, by reason."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._unavailable = Gauge(
            "aggregator_unavailable_apiservice",
            "1 for each APIService that is not available now.",
            ("name",),
            registry=registry,
        )
        # A counter by meaning: the library lets no counter share its name with a gauge.
        self._failures = Gauge(
            "aggregator_unavailable_apiservice_total",
            "Looks at APIServices that were not available, by reason.",
            ("name", "reason"),
            registry=registry,
        )

    def seen(self, name: str, state: State) -> None:
        self._unavailable.labels(name).set(0 if state.is_available else 1)
        if not state.is_available:
            self._failures.labels(name, state.reason).inc()

    def gone(self, name: str) -> None:
        with contextlib.suppress(KeyError):
            self._unavailable.remove(name)
