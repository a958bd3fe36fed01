"""Counts of requests as plain numbers, put into Prometheus' form when somebody asks.

A request is counted on one event loop and needs no lock; the client library's counters take one for
each of the five that a request touches.
"""

from bisect import bisect_left
from collections.abc import Iterable

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from sagong.server.http.exchange import Exchange

# Upstream's buckets, the finer ones of the middle left out.
_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6, 10, 20, 60)
_NAMES = [*(str(float(bucket)) for bucket in _BUCKETS), "+Inf"]
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")
_COUNT_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "code")
# Of which no duration is kept, for it is the client's.
_LASTING = ("WATCH", "CONNECT")

_Key = tuple[str, bool, str, str, str, str, str, int]


class _Durations:
    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * len(_NAMES)
        self.total = 0.0


class RequestCounts(Collector):
    """How many requests there were, how long they took, how many are under way."""

    def __init__(self) -> None:
        self.reading = 0
        self.mutating = 0
        self._counts: dict[_Key, int] = {}
        self._durations: dict[tuple[str, ...], _Durations] = {}
        self._durations_of: dict[_Key, _Durations] = {}

    def add(self, exchange: Exchange, code: int, seconds: float) -> None:
        """A request has ended."""
        key = (
            exchange.verb,
            exchange.dry_run,
            exchange.group,
            exchange.version,
            exchange.resource,
            exchange.subresource,
            exchange.scope,
            code,
        )
        durations = self._durations_of.get(key)
        if durations is None:
            durations = self._durations_of[key] = self._first(key)
        self._counts[key] += 1
        durations.total += seconds
        durations.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def _first(self, key: _Key) -> _Durations:
        self._counts[key] = 0
        return self._durations.setdefault((key[0].upper(), *key[2:7]), _Durations())

    def collect(self) -> Iterable[Metric]:
        counts = CounterMetricFamily(
            "apiserver_request",
            "Requests by verb, dry run, resource, scope and response code.",
            labels=_COUNT_LABELS,
        )
        for (verb, dry_run, *labels, code), count in self._counts.items():
            dry = "All" if dry_run else ""
            counts.add_metric([verb.upper(), dry, *map(str, labels), str(code)], count)
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Response latency in seconds, watches and connections excepted.",
            labels=_LABELS,
        )
        for names, found in self._durations.items():
            if names[0] not in _LASTING:
                durations.add_metric(names, _cumulative(found.buckets), found.total)
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests",
            "Requests under way, by kind.",
            labels=("request_kind",),
        )
        inflight.add_metric(["readOnly"], self.reading)
        inflight.add_metric(["mutating"], self.mutating)
        return counts, durations, inflight


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    found, total = [], 0
    for name, count in zip(_NAMES, counts, strict=True):
        total += count
        found.append((name, float(total)))
    return found
