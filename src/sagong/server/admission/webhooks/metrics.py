"""What is counted of webhooks, under upstream's names (``apiserver/pkg/admission/metrics``)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10, 25)
_PREFIX = "apiserver_admission_webhook"


class WebhookMetrics:
    """Collectors of one server, in the registry that it shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._durations = Histogram(
            f"{_PREFIX}_admission_duration_seconds",
            "Latency of admission webhooks, by name, type and operation.",
            ("name", "type", "operation", "rejected"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._requests = Counter(
            f"{_PREFIX}_request",
            "Calls of admission webhooks, by their outcome.",
            ("name", "type", "operation", "code", "rejected"),
            registry=registry,
        )
        # Counters by meaning; the library would put "_total" behind a counter's name.
        self._rejections = Gauge(
            f"{_PREFIX}_rejection_count",
            "Writes that webhooks refused, or that were refused because they did not answer.",
            ("name", "type", "operation", "error_type", "rejection_code"),
            registry=registry,
        )
        self._failed_open = Gauge(
            f"{_PREFIX}_fail_open_count",
            "Failed calls that were ignored.",
            ("name", "type"),
            registry=registry,
        )
        self._excluded = Counter(
            "apiserver_admission_match_condition_exclusions",
            "Writes that match conditions kept from a webhook.",
            ("name", "kind", "type", "operation"),
            registry=registry,
        )

    def asked(
        self,
        name: str,
        sort: str,
        operation: str,
        code: int,
        seconds: float,
        *,
        rejected: bool,
    ) -> None:
        said = str(rejected).lower()
        self._durations.labels(name, sort, operation, said).observe(seconds)
        self._requests.labels(name, sort, operation, str(min(code, 600)), said).inc()

    def rejected(self, name: str, sort: str, operation: str, failure: str, code: int) -> None:
        """``failure``: ``no_error``, ``calling_webhook_error`` or ``apiserver_internal_error``."""
        self._rejections.labels(name, sort, operation, failure, str(min(code, 600))).inc()

    def failed_open(self, name: str, sort: str) -> None:
        self._failed_open.labels(name, sort).inc()

    def excluded(self, name: str, sort: str, operation: str) -> None:
        self._excluded.labels(name, "webhook", sort, operation).inc()
