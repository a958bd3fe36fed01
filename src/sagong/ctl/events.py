"""Records core/v1 Events: never waits, never fails, never floods.

Semantics: client-go's ``tools/record`` with its EventCorrelator. Equal events are counted in one
object; many similar ones are combined; a source that floods about one object is cut off.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sagong.api.call import PatchType
from sagong.api.errors import AlreadyExists, ApiError, NotFound, ServiceUnavailable, Timeout
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_time
from sagong.core.ids import Ids
from sagong.ctl.rate import TokenBucket

log = logging.getLogger(__name__)

# client-go's figures.
QUEUE_EVENTS = 1000  # past it new events are lost and counted: an Event is never worth waiting for
SIMILAR_MAX = 10  # different messages of one reason before they are combined ...
SIMILAR_SECONDS = 600.0  # ... and how long they count as similar
SPAM_BURST = 25
SPAM_PER_SECOND = 1 / 300
REMEMBERED_MAX = 4096  # least recently used keys are forgotten past it
SEND_ATTEMPTS = 12
SEND_RETRY_SECONDS = 10.0

COMBINED = "(combined from similar events): "

_REFERENCE_FIELDS = (
    "kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath",
)  # fmt: skip

V = TypeVar("V")


class _Recent(Generic[V]):
    """A bounded map that forgets what was not used for longest."""

    def __init__(self, make: Callable[[], V]) -> None:
        self._make = make
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def __getitem__(self, key: Hashable) -> V:
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        if len(self._entries) >= REMEMBERED_MAX:
            self._entries.popitem(last=False)
        value = self._entries[key] = self._make()
        return value


@dataclass(slots=True)
class _Similar:
    """Messages of events that differ in nothing else."""

    messages: set[str]
    last: float


@dataclass(slots=True)
class _Observed:
    """The stored Event that counts equal events."""

    count: int = 0
    name: str = ""
    first_timestamp: str = ""


@dataclass(frozen=True, slots=True)
class Sending:
    """What the correlator decided: store a new Event, or count in a stored one."""

    event: Obj
    key: Hashable
    patch: Obj | None


class Correlator:
    """Which Events to store and how; synchronous. Wall-clock seconds are passed in."""

    def __init__(self) -> None:
        self._similar: _Recent[_Similar] = _Recent(lambda: _Similar(set(), 0.0))
        self._observed: _Recent[_Observed] = _Recent(_Observed)
        self._now = 0.0
        self._buckets: _Recent[TokenBucket] = _Recent(
            lambda: TokenBucket(per_second=SPAM_PER_SECOND, burst=SPAM_BURST, now=self._now)
        )

    def correlate(self, event: Obj, now: float) -> Sending | None:
        """How to store an event; None if its source floods."""
        self._now = now
        event, key = self._aggregate(event, now)
        observed = self._observed[key]
        patch = None
        observed.count += 1
        if observed.count > 1:
            event = event | {"count": observed.count, "firstTimestamp": observed.first_timestamp}
            event["metadata"] = event["metadata"] | {"name": observed.name}
            patch = {name: event[name] for name in ("count", "lastTimestamp", "message")}
        else:
            observed.name = event["metadata"]["name"]
            observed.first_timestamp = event["firstTimestamp"]
        if not self._buckets[_about(event)].take_nowait(now):
            return None
        return Sending(event, key, patch)

    def stored(self, key: Hashable, event: Obj) -> None:
        """The event was stored under this name, anew."""
        observed = self._observed[key]
        observed.name = event["metadata"]["name"]
        observed.first_timestamp = event["firstTimestamp"]

    def _aggregate(self, event: Obj, now: float) -> tuple[Obj, Hashable]:
        kind = (*_about(event), event["type"], event["reason"])
        similar = self._similar[kind]
        if now - similar.last > SIMILAR_SECONDS:
            similar.messages.clear()
        similar.last = now
        similar.messages.add(event["message"])
        if len(similar.messages) < SIMILAR_MAX:
            return event, (*kind, event["involvedObject"].get("fieldPath"), event["message"])
        similar.messages.pop()
        return event | {"message": COMBINED + event["message"]}, kind


def _about(event: Obj) -> tuple[Hashable, ...]:
    source, about = event["source"], event["involvedObject"]
    names = ("kind", "namespace", "name", "uid", "apiVersion")
    return (source.get("component"), source.get("host"), *(about.get(name) for name in names))


def reference_to(about: Obj) -> Obj:
    """An ObjectReference to an object; one that is given already is taken as it is."""
    if "metadata" not in about:
        return {name: about[name] for name in _REFERENCE_FIELDS if about.get(name)}
    found = {"kind": about.get("kind"), "apiVersion": about.get("apiVersion")}
    found |= {name: about["metadata"].get(name) for name in _REFERENCE_FIELDS[1:4]}
    found["resourceVersion"] = about["metadata"].get("resourceVersion")
    return {name: found[name] for name in _REFERENCE_FIELDS if found.get(name)}


class Recorder:
    """Implements ``ctl.controller.Events``. ``about`` is an object or an ObjectReference to a part
    of one (with ``fieldPath``). Events are sent by ``run``.
    """

    def __init__(
        self, client: Client, *, component: str, clock: Clock, ids: Ids, host: str = ""
    ) -> None:
        self.lost = 0  # events given up because the queue was full or the API refused them
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._ids = ids
        self._correlator = Correlator()
        self._queue: deque[Obj] = deque()
        self._filled = asyncio.Event()
        self._nanoseconds = 0

    def emit(self, about: Obj, type_: str, reason: str, message: str) -> None:
        if len(self._queue) >= QUEUE_EVENTS:
            self.lost += 1
            return
        self._queue.append(self._event(reference_to(about), type_, reason, message))
        self._filled.set()

    async def run(self) -> None:
        """Send what is emitted, in order, until cancelled."""
        while True:
            await self._filled.wait()
            while self._queue:
                sending = self._correlator.correlate(self._queue.popleft(), self._clock.now())
                if sending is not None:
                    await self._send(sending)
            self._filled.clear()

    def _event(self, about: Obj, type_: str, reason: str, message: str) -> Obj:
        now = self._clock.now()
        # Two events of one instant still need two names.
        self._nanoseconds = max(self._nanoseconds + 1, int(now * 1e9))
        name = f"{about['name']}.{self._nanoseconds:x}"
        time = format_time(now)
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": name if len(name) <= 253 else self._ids.uid(),
                "namespace": about.get("namespace") or "default",
            },
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    async def _send(self, sending: Sending) -> None:
        for _ in range(SEND_ATTEMPTS):
            try:
                await self._store(sending)
                return
            except (ServiceUnavailable, Timeout) as error:
                log.info("cannot send an event yet: %s", error.message)
                await asyncio.sleep(SEND_RETRY_SECONDS * (0.5 + self._ids.random()))
            except ApiError as error:
                # Most often: its namespace is going away, and its events with it.
                log.debug("event refused: %s: %s", error.message, sending.event)
                break
        self.lost += 1

    async def _store(self, sending: Sending) -> None:
        event = sending.event
        if sending.patch is not None:
            try:
                await self._client.patch(
                    "events",
                    event["metadata"]["name"],
                    sending.patch,
                    namespace=event["metadata"]["namespace"],
                    patch_type=PatchType.STRATEGIC,
                )
                return
            except NotFound:
                event = self._renamed(event)  # It has expired; begin a new one.
        try:
            await self._client.create("events", event)
        except AlreadyExists:
            event = self._renamed(event)
            await self._client.create("events", event)
        self._correlator.stored(sending.key, event)

    def _renamed(self, event: Obj) -> Obj:
        name = f"{event['involvedObject']['name'][:236]}.{int(self._ids.random() * 2**60):x}"
        return event | {"metadata": event["metadata"] | {"name": name}}
