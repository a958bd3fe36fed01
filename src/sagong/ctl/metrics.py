"""Work-queue metrics under upstream's names (component-base ``metrics/prometheus/workqueue``)."""

from collections.abc import Hashable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from sagong.core.clock import Clock

# 10 ns to 10 s, each ten times the last; past it is +Inf.
_BUCKETS = tuple(1e-8 * 10**i for i in range(10))


class QueueMetrics:
    """The metric families of all queues of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, ["name"], registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(name, text, ["name"], registry=registry, buckets=_BUCKETS)

        self.depth = Gauge("workqueue_depth", "Keys ready", ["name"], registry=registry)
        self.adds = counter("workqueue_adds_total", "Keys added")
        self.retries = counter("workqueue_retries_total", "Keys added again after a failure")
        self.waits = histogram("workqueue_queue_duration_seconds", "Time in the queue")
        self.works = histogram("workqueue_work_duration_seconds", "Time in work")
        self.queues: dict[str, QueueMeasures] = {}
        registry.register(_Unfinished(self))

    def of_queue(self, name: str, clock: Clock) -> "QueueMeasures":
        measures = QueueMeasures(self, name, clock)
        self.queues[name] = measures
        return measures


class QueueMeasures:
    """What one queue reports."""

    def __init__(self, metrics: QueueMetrics, name: str, clock: Clock) -> None:
        self._clock = clock
        self._depth = metrics.depth.labels(name)
        self._adds = metrics.adds.labels(name)
        self._retries = metrics.retries.labels(name)
        self._waits = metrics.waits.labels(name)
        self._works = metrics.works.labels(name)
        self._added: dict[Hashable, float] = {}
        self._started: dict[Hashable, float] = {}

    def added(self, key: Hashable, depth: int) -> None:
        self._adds.inc()
        self._depth.set(depth)
        self._added.setdefault(key, self._clock.monotonic())

    def retried(self) -> None:
        self._retries.inc()

    def started(self, key: Hashable, depth: int) -> None:
        now = self._clock.monotonic()
        self._depth.set(depth)
        self._waits.observe(now - self._added.pop(key, now))
        self._started[key] = now

    def ended(self, key: Hashable) -> None:
        now = self._clock.monotonic()
        self._works.observe(now - self._started.pop(key, now))

    def depth(self, depth: int) -> None:
        self._depth.set(depth)

    def running_seconds(self) -> list[float]:
        """How long each key in work has been so."""
        now = self._clock.monotonic()
        return [now - started for started in self._started.values()]


class _Unfinished:
    """Gauges that are computed when scraped: work that has begun and not ended."""

    def __init__(self, metrics: QueueMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Sum of times in work so far", labels=["name"]
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds", "Longest time in work", labels=["name"]
        )
        for name, measures in self._metrics.queues.items():
            seconds = measures.running_seconds()
            unfinished.add_metric([name], sum(seconds))
            longest.add_metric([name], max(seconds, default=0.0))
        return [unfinished, longest]

    def describe(self) -> Iterable[Metric]:
        return []
