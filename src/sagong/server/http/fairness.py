"""API priority and fairness for requests: their flow, their seat, their turn; past that 429.

Administrators' and health requests are of the exempt level and never wait. Requests that last hold
no seat: a watch only until it has begun.
"""

import asyncio
import math
from collections.abc import Coroutine, Iterable
from typing import Any, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from sagong.api import errors
from sagong.server.authz.interface import Attributes
from sagong.server.caches import Caches
from sagong.server.fairness.classification import Configuration, Flow, configuration
from sagong.server.fairness.levels import Levels, Refused, Ticket
from sagong.server.fairness.turns import Turns, timed
from sagong.server.http.asking import FindTarget, asked_of, is_lasting, is_watch
from sagong.server.http.exchange import Exchange, Middleware, Next, OnStart
from sagong.server.http.messages import Answered, Response

SEATS = 600  # upstream's --max-requests-inflight and --max-mutating-requests-inflight together
WAIT_SECONDS_MAX = 15.0  # upstream: a quarter of a request's time
RETRY_SECONDS = 1
# A list of this many objects takes a seat for each so many of them (upstream's work estimator).
OBJECTS_A_SEAT = 100
LIST_SEATS_MAX = 10
FLOWS_MAX = 8192  # classified requests that are remembered; past it all are forgotten
_SCHEMAS = "flowschemas.flowcontrol.apiserver.k8s.io"
_LEVELS = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
_PREFIX = "apiserver_flowcontrol_"

# User name, groups, verb, group, resource, subresource, namespace or path: what decides the flow.
FlowKey = tuple[str, tuple[str, ...], str, str, str, str, str]
# Method, path, user name and groups.
PlainKey = tuple[str, str, str, tuple[str, ...]]


class Fairness:
    """One a server; a collector of its own metrics."""

    def __init__(self, caches: Caches, find_target: FindTarget, turns: Turns) -> None:
        self._caches = caches
        self._find_target = find_target
        self._turns = turns
        self._levels = Levels()
        self._versions = (-1, -1)
        self._configuration = Configuration((), {})
        self._flows: dict[FlowKey, Flow | None] = {}
        # Of requests without parameters that do not last, all of the above by method and path.
        self._plain: dict[PlainKey, tuple[Attributes, Flow]] = {}
        self._dispatched: dict[tuple[str, str], int] = {}
        self._refused: dict[tuple[str, str, str], int] = {}

    def middleware(self) -> Middleware:
        """Refuses with TooManyRequests."""

        async def run(exchange: Exchange, following: Next) -> Answered:
            found = self._classified(exchange)
            if found is None:
                return await following(exchange)
            asked, flow = found
            if self._configuration.levels[flow.schema.level].seats is None:
                self._count(flow)
                return _marked(await following(exchange), flow, self._configuration)
            return await self._fairly(exchange, following, asked, flow)

        return run

    def _classified(self, exchange: Exchange) -> tuple[Attributes, Flow] | None:
        """What is asked and whose turn it takes; None for what takes none."""
        user = exchange.user
        key = (exchange.method, exchange.path, user.name, user.groups)
        if not exchange.query and self._is_current():
            known = self._plain.get(key)
            if known is not None:
                return known
        asked = asked_of(exchange, self._find_target)
        flow = self._flow_of(asked)
        watch = is_watch(exchange)
        if flow is None or (is_lasting(exchange) and not watch):
            return None
        # What is no resource today may be one tomorrow, when its definition comes.
        if not exchange.query and not watch and asked.is_resource:
            if len(self._plain) >= FLOWS_MAX:
                self._plain.clear()
            self._plain[key] = (asked, flow)
        return asked, flow

    async def _fairly(
        self, exchange: Exchange, following: Next, asked: Attributes, flow: Flow
    ) -> Answered:
        key = f"{flow.schema.name}/{flow.key}"
        ticket = await self._seat(flow, key, self._seats(asked))
        left = False

        def leave(code: int = 0) -> None:
            nonlocal left
            if not left:
                left = True
                self._levels.leave(ticket, self._turns.monotonic())

        if asked.verb == "watch":
            exchange.on_start = _both(exchange.on_start, leave)
        try:
            turn = self._turns.wait_turn(key)
            if turn is not None:
                await turn
            self._count(flow)
            running = cast(Coroutine[Any, Any, Answered], following(exchange))
            answer = await timed(running, self._turns, key)
            return _marked(answer, flow, self._configuration)
        finally:
            leave()

    async def _seat(self, flow: Flow, key: str, seats: int) -> Ticket:
        entered = self._levels.enter(flow.schema.level, key, seats, self._turns.monotonic())
        if isinstance(entered, Refused):
            raise self._too_many(flow, entered)
        if entered.seated_at is None:
            await self._wait(flow, entered)
        return entered

    async def _wait(self, flow: Flow, ticket: Ticket) -> None:
        # Not asyncio.timeout: who waits may be in no task (see Tasks.start_now).
        loop = asyncio.get_running_loop()
        seated: asyncio.Future[bool] = loop.create_future()

        def decide(in_time: bool) -> None:
            if not seated.done():
                seated.set_result(in_time)

        ticket.on_seat = lambda: decide(True)
        timer = loop.call_later(WAIT_SECONDS_MAX, decide, False)
        in_time = False
        try:
            in_time = await seated
        finally:
            timer.cancel()
            if not in_time:  # too late, or the client has gone
                self._levels.leave(ticket, self._turns.monotonic())
        if not in_time:
            raise self._too_many(flow, Refused.TIME_OUT)

    def _seats(self, asked: Attributes) -> int:
        if asked.verb != "list":
            return 1
        name = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
        cache = self._caches.named(name)
        objects = len(cache) if cache is not None else 0
        return max(1, min(LIST_SEATS_MAX, math.ceil(objects / OBJECTS_A_SEAT)))

    def _flow_of(self, asked: Attributes) -> Flow | None:
        if not self._is_current() or len(self._flows) >= FLOWS_MAX:
            self._configure((self._caches.version(_SCHEMAS), self._caches.version(_LEVELS)))
        user = asked.user
        where = asked.namespace if asked.is_resource else asked.path
        key = (user.name, user.groups, asked.verb, asked.group, asked.resource,
               asked.subresource, where)  # fmt: skip
        try:
            return self._flows[key]
        except KeyError:
            flow = self._flows[key] = self._configuration.flow_of(asked)
            return flow

    def _is_current(self) -> bool:
        version, known = self._caches.version, self._versions
        return version(_SCHEMAS) == known[0] and version(_LEVELS) == known[1]

    def _configure(self, versions: tuple[int, int]) -> None:
        self._flows.clear()
        self._plain.clear()
        if versions == self._versions:
            return
        self._versions = versions
        self._configuration = configuration(
            [item.obj for item in self._caches.list(_SCHEMAS)],
            [item.obj for item in self._caches.list(_LEVELS)],
            seats=SEATS,
        )
        self._levels.configure(self._configuration.levels)

    def _too_many(self, flow: Flow, reason: Refused) -> errors.TooManyRequests:
        key = (flow.schema.level, flow.schema.name, reason.value)
        self._refused[key] = self._refused.get(key, 0) + 1
        return errors.TooManyRequests(
            "too many requests, please try again later",
            details={"retryAfterSeconds": RETRY_SECONDS},
        )

    def _count(self, flow: Flow) -> None:
        key = (flow.schema.level, flow.schema.name)
        self._dispatched[key] = self._dispatched.get(key, 0) + 1

    def collect(self) -> Iterable[Metric]:
        """Prometheus' collector interface; upstream's names."""
        names = ["priority_level", "flow_schema"]
        dispatched = CounterMetricFamily(
            f"{_PREFIX}dispatched_requests", "Requests that were carried out.", labels=names
        )
        for key, count in self._dispatched.items():
            dispatched.add_metric(key, count)
        yield dispatched
        refused = CounterMetricFamily(
            f"{_PREFIX}rejected_requests", "Requests that were refused.", labels=[*names, "reason"]
        )
        for why, count in self._refused.items():
            refused.add_metric(why, count)
        yield refused
        gauges = {
            name: GaugeMetricFamily(_PREFIX + name, text, labels=["priority_level"])
            for name, text in (
                ("current_inqueue_requests", "Requests that wait."),
                ("current_executing_seats", "Seats that are taken."),
                ("nominal_limit_seats", "Seats of the level's own."),
            )
        }
        for level in self._levels.all():
            values = (level.waiting, level.running, level.settings.seats or 0)
            for gauge, value in zip(gauges.values(), values, strict=True):
                gauge.add_metric([level.settings.name], value)
        yield from gauges.values()


def _both(first: OnStart | None, second: OnStart) -> OnStart:
    def call(code: int) -> None:
        if first is not None:
            first(code)
        second(code)

    return call


def _marked(answer: Answered, flow: Flow, found: Configuration) -> Answered:
    """Say whose turn it was; upstream's own tests read it."""
    if isinstance(answer, Response) and not answer.sent:
        answer.headers["X-Kubernetes-PF-FlowSchema-UID"] = flow.schema.uid
        answer.headers["X-Kubernetes-PF-PriorityLevel-UID"] = found.levels[flow.schema.level].uid
    return answer
