"""A network between clients and servers that loses, delays, repeats and cuts, from a seed.

A :class:`Link` is one component's way to the server; :class:`Faulty` is a Transport over it. It
works over any other Transport, so the same faults can be put in front of a server over HTTPS.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import cast

from sagong.api import errors
from sagong.api.call import Answer, Call, Event, Verb, Watching
from sagong.client.transport import Transport

_WRITES = frozenset({Verb.CREATE, Verb.UPDATE, Verb.PATCH, Verb.DELETE})


@dataclass(frozen=True, slots=True)
class FaultRates:
    """How often what goes wrong: probabilities of each call or event, unless said otherwise."""

    request_lost: float = 0.0  # the server never sees it; the client is told that it is away
    answer_lost: float = 0.0  # the server has done it; the client does not know
    repeated: float = 0.0  # a write arrives twice; the client gets the second answer
    conflict: float = 0.0  # somebody else's write came in between an update's read and write
    watch_cut: float = 0.0  # of each event: the watch ends after it
    watch_expired: float = 0.0  # of each watch: the server has forgotten that revision
    delay_seconds: float = 0.0  # up to this long, each way, and before each event


NO_FAULTS = FaultRates()
# What a bad day looks like; every component must come through it.
BAD_DAY = FaultRates(
    request_lost=0.02,
    answer_lost=0.02,
    repeated=0.01,
    conflict=0.03,
    watch_cut=0.01,
    watch_expired=0.1,
    delay_seconds=0.2,
)


class Link:
    """One component's way to the server. Cutting or holding it is how partitions are made."""

    def __init__(self, name: str, seed: int, rates: FaultRates = NO_FAULTS) -> None:
        self.name = name
        self.rates = rates
        self._random = random.Random(f"{seed} {name}")
        self._is_cut = False
        self._passable = asyncio.Event()
        self._passable.set()
        # How often it was broken off: a watch of before is dead, wherever its reader waits.
        self.epoch = 0
        # Calls and reads of watches under way, in the order in which they began.
        self._under_way: dict[asyncio.Timeout, None] = {}

    @property
    def is_cut(self) -> bool:
        return self._is_cut

    def cut(self) -> None:
        """Nothing passes any more: calls under way fail, watches break off."""
        self._is_cut = True
        self.break_off()

    def mend(self) -> None:
        self._is_cut = False

    def hold(self) -> None:
        """Nothing moves, nothing fails: a long pause of the machine, or of the network."""
        self._passable.clear()

    def release(self) -> None:
        self._passable.set()

    def break_off(self) -> None:
        """End what is under way (the server has died); new calls pass again."""
        self.epoch += 1
        now = asyncio.get_running_loop().time()
        for timeout in tuple(self._under_way):
            timeout.reschedule(now)
        self._under_way.clear()

    def draw(self, probability: float) -> bool:
        """Does it happen this time?"""
        return probability > 0 and self._random.random() < probability

    async def wait_passed(self) -> None:
        """The time on the way. Raises ServiceUnavailable if the link is cut."""
        if self.rates.delay_seconds:
            await asyncio.sleep(self._random.random() * self.rates.delay_seconds)
        await self._passable.wait()
        if self._is_cut:
            raise _unreachable(self.name)

    @contextmanager
    def breakable(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """What happens inside can be ended by ``break_off``, by way of the timeout."""
        self._under_way[timeout] = None
        try:
            yield
        finally:
            self._under_way.pop(timeout, None)


def _unreachable(link: str) -> errors.ServiceUnavailable:
    return errors.ServiceUnavailable(f"{link}: connection lost")


class Faulty:
    """A Transport whose calls go over a link."""

    def __init__(self, inner: Transport, link: Link) -> None:
        self._inner = inner
        self._link = link

    async def send(self, call: Call) -> Answer:
        link, rates = self._link, self._link.rates
        await link.wait_passed()
        if link.draw(rates.request_lost):
            raise _unreachable(link.name)
        if call.verb is Verb.UPDATE and link.draw(rates.conflict):
            resource = call.resource
            why = (
                "the object has been modified; please apply your changes to the latest version"
                " and try again"
            )
            raise errors.conflict(resource.group, resource.plural, call.name, why)
        if call.verb is Verb.WATCH:
            return await self._watch(call)
        if call.verb in _WRITES and link.draw(rates.repeated):
            await self._once(call)
        answer = await self._once(call)
        await link.wait_passed()
        if link.draw(rates.answer_lost):
            raise _unreachable(link.name)
        return answer

    async def close(self) -> None:
        await self._inner.close()

    async def _once(self, call: Call) -> Answer:
        try:
            async with asyncio.timeout(None) as timeout:
                with self._link.breakable(timeout):
                    return await self._inner.send(call)
        except TimeoutError as error:
            raise _unreachable(self._link.name) from error

    async def _watch(self, call: Call) -> Answer:
        if call.options.resource_version and self._link.draw(self._link.rates.watch_expired):
            raise errors.Expired(
                f"too old resource version: {call.options.resource_version} (forgotten)"
            )
        epoch = self._link.epoch
        answer = await self._once(call)
        assert isinstance(answer, Watching)
        return Watching(_passed_on(answer.events, self._link, epoch), answer.warnings)


async def _passed_on(events: AsyncIterator[Event], link: Link, epoch: int) -> AsyncIterator[Event]:
    """Events as they come through a link, in order, until it breaks."""
    async with aclosing(cast("AsyncGenerator[Event, None]", events)):
        while True:
            if link.epoch != epoch:
                raise _unreachable(link.name)
            try:
                async with asyncio.timeout(None) as timeout:
                    with link.breakable(timeout):
                        event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise _unreachable(link.name) from error
            await link.wait_passed()
            yield event
            if link.draw(link.rates.watch_cut):
                return
