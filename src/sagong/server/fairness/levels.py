"""Seats and queues of the priority levels: who runs, who waits, who is refused.

A synchronous state machine: ``enter`` gives a seat or a place in a queue, ``leave`` frees the seat
and says who has it now. Within a level the queues take turns by the seat-seconds that each has had
(fair queuing in virtual time); a flow is dealt a hand of queues and takes the shortest, so that a
flow that floods fills its own hand and leaves the others' queues alone (shuffle sharding). Idle
seats are lent to other levels and taken back as they become free. Source of semantics: KEP-1040
and apiserver's ``util/flowcontrol/fairqueuing``.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from sagong.core.invariant import invariant
from sagong.server.fairness.classification import LevelSettings

# What a waiting request is taken to need until it is known (upstream: estimated service duration).
ESTIMATED_SECONDS = 0.003
# Flows of a level whose queues are remembered. Past it they are dealt again.
HANDS_MAX = 4096


class Refused(Enum):
    """Why a request got no place, in upstream's words."""

    QUEUE_FULL = "queue-full"
    CONCURRENCY_LIMIT = "concurrency-limit"
    TIME_OUT = "time-out"


@dataclass(slots=True, eq=False)
class Ticket:
    """One request in a level: waiting until ``on_seat`` is called, then in its seat."""

    level: "Level"
    seats: int
    on_seat: Callable[[], None] | None = None
    queue: "Queue | None" = None
    seated_at: float | None = None


@dataclass(slots=True, eq=False)
class Queue:
    """Those who wait; ``had`` is the level's virtual time up to which it has been served."""

    waiting: deque[Ticket] = field(default_factory=deque)
    running: int = 0
    had: float = 0.0


class Level:
    """One priority level's state; see ``Levels``."""

    def __init__(self, settings: LevelSettings) -> None:
        self.settings = settings
        self.running = 0
        self.waiting = 0
        self.queues: list[Queue] = []
        # Queues where somebody waits or runs, in the order in which they became so.
        self.busy: dict[Queue, None] = {}
        self._hands: dict[str, tuple[Queue, ...]] = {}
        self.configure(settings)

    def configure(self, settings: LevelSettings) -> None:
        """Take new settings over; other queues are other ones, and nobody waits in the old."""
        if settings.queues != len(self.queues):
            self.queues = [Queue() for _ in range(settings.queues)]
            self.busy.clear()
        self._hands.clear()
        self.settings = settings

    def hand_of(self, flow_key: str) -> Sequence[Queue]:
        """The queues dealt to a flow: the same for every request of it, different for others."""
        hand = self._hands.get(flow_key)
        if hand is None:
            if len(self._hands) >= HANDS_MAX:
                self._hands.clear()
            hand = self._hands[flow_key] = tuple(self._deal(flow_key))
        return hand

    def _deal(self, flow_key: str) -> Iterable[Queue]:
        digest = int.from_bytes(hashlib.sha256(flow_key.encode()).digest()[:8], "big")
        deck = list(range(len(self.queues)))
        for _ in range(min(self.settings.hand, len(deck))):
            digest, position = divmod(digest, len(deck))
            yield self.queues[deck.pop(position)]

    def shortest(self, flow_key: str) -> Queue:
        """The queue of a flow's hand in which the fewest wait and, of those, run."""
        hand = self.hand_of(flow_key)
        for queue in hand:
            if not queue.running and not queue.waiting:
                return queue
        return min(hand, key=lambda q: (len(q.waiting), q.running))

    @property
    def virtual_time(self) -> float:
        """The least that any busy queue has been served; a queue that begins starts from there."""
        return min([queue.had for queue in self.busy]) if self.busy else 0.0

    def note(self, queue: Queue) -> None:
        """Somebody has come to a queue or left it."""
        if queue.waiting or queue.running:
            self.busy[queue] = None
        else:
            self.busy.pop(queue, None)

    def next_queue(self) -> Queue | None:
        """The one that has had least, of those with somebody waiting."""
        return min((q for q in self.queues if q.waiting), key=lambda q: q.had, default=None)


class Levels:
    """All levels of a server. Times are monotonic seconds, given by the caller."""

    def __init__(self) -> None:
        self._levels: dict[str, Level] = {}
        self._waiting = 0  # in all levels

    def configure(self, settings: Mapping[str, LevelSettings]) -> None:
        """Take new settings over. Who waits in a level that is gone, or has other queues, is
        seated at once: that happens seldom, and refusing would punish the wrong ones."""
        for name, level in tuple(self._levels.items()):
            new = settings.get(name)
            if new is None or new.queues != level.settings.queues:
                for queue in level.queues:
                    while queue.waiting:
                        self._seat(level, queue, queue.waiting.popleft(), 0.0)
                if new is None:
                    del self._levels[name]
                    continue
            level.configure(new)
        for name, new in settings.items():
            self._levels.setdefault(name, Level(new))

    def all(self) -> Iterable[Level]:
        return self._levels.values()

    def enter(self, name: str, flow_key: str, seats: int, now: float) -> Ticket | Refused:
        """A ticket, seated or waiting (then set its ``on_seat`` at once); or a refusal."""
        level = self._levels[name]
        settings = level.settings
        if settings.seats is None:
            level.running += seats
            return Ticket(level, seats, seated_at=now)
        seats = min(seats, max(settings.seats, 1))
        if not level.waiting and self._has_room(level, seats):
            queue = level.shortest(flow_key) if settings.queues else None
            ticket = Ticket(level, seats)
            self._take_seat(level, queue, ticket, now)
            return ticket
        if not settings.queues:
            return Refused.CONCURRENCY_LIMIT
        queue = level.shortest(flow_key)
        if len(queue.waiting) >= settings.queue_length:
            return Refused.QUEUE_FULL
        if not queue.waiting and not queue.running:
            queue.had = max(queue.had, level.virtual_time)
        ticket = Ticket(level, seats, queue=queue)
        queue.waiting.append(ticket)
        level.waiting += 1
        self._waiting += 1
        level.note(queue)
        return ticket

    def leave(self, ticket: Ticket, now: float) -> None:
        """The request has ended, or gives up waiting. Seats go to whoever is next."""
        level, queue = ticket.level, ticket.queue
        if ticket.seated_at is None:
            invariant(queue is not None, "a ticket without seat waits in a queue")
            assert queue is not None
            queue.waiting.remove(ticket)
            level.waiting -= 1
            self._waiting -= 1
            level.note(queue)
            return
        level.running -= ticket.seats
        if queue is not None:
            queue.running -= ticket.seats
            # What was taken beforehand is replaced by what it was.
            queue.had += ticket.seats * (now - ticket.seated_at - ESTIMATED_SECONDS)
            level.note(queue)
        if self._waiting:
            self._dispatch(now)

    def _dispatch(self, now: float) -> None:
        """Seat those who wait, in every level: seats may have been on loan."""
        for level in self._levels.values():
            while level.waiting:
                queue = level.next_queue()
                assert queue is not None
                if not self._has_room(level, queue.waiting[0].seats):
                    break
                self._seat(level, queue, queue.waiting.popleft(), now)

    def _seat(self, level: Level, queue: Queue, ticket: Ticket, now: float) -> None:
        level.waiting -= 1
        self._waiting -= 1
        level.note(queue)
        self._take_seat(level, queue, ticket, now)
        if ticket.on_seat is not None:
            ticket.on_seat()

    def _take_seat(self, level: Level, queue: Queue | None, ticket: Ticket, now: float) -> None:
        level.running += ticket.seats
        ticket.seated_at, ticket.queue = now, queue
        if queue is not None:
            queue.had = max(queue.had, level.virtual_time) + ticket.seats * ESTIMATED_SECONDS
            queue.running += ticket.seats
            level.note(queue)

    def _has_room(self, level: Level, seats: int) -> bool:
        settings = level.settings
        assert settings.seats is not None
        if level.running == 0 or level.running + seats <= settings.seats - settings.lendable:
            return True
        if level.running + seats <= settings.seats - self._lent(level):
            return True
        beyond = level.running + seats - settings.seats
        return beyond <= settings.borrowable and beyond <= self._idle_elsewhere(level)

    def _lent(self, level: Level) -> int:
        """Seats of this level that others sit in: it waits for them rather than add to the load."""
        others = [other for other in self._levels.values() if other is not level]
        borrowed = sum(_beyond(other) for other in others)
        idle = sum(_idle(other) for other in others)
        settings = level.settings
        return min(settings.lendable, max(0, borrowed - idle))

    def _idle_elsewhere(self, level: Level) -> int:
        others = [other for other in self._levels.values() if other is not level]
        return sum(map(_idle, others)) - sum(map(_beyond, others))


def _beyond(level: Level) -> int:
    """Seats that a level has borrowed."""
    seats = level.settings.seats
    return 0 if seats is None else max(0, level.running - seats)


def _idle(level: Level) -> int:
    """Seats that a level could lend now."""
    settings = level.settings
    if settings.seats is None:
        return 0
    return max(0, min(settings.lendable, settings.seats - level.running))
