"""Seats and queues: bounds that hold whatever happens, fairness between flows, lending."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sagong.server.fairness.classification import LevelSettings
from sagong.server.fairness.levels import Level, Levels, Refused, Ticket


def level(name: str = "a", seats: int | None = 4, **more: Any) -> LevelSettings:
    return LevelSettings(name, f"uid-{name}", seats, **more)


QUEUED: dict[str, Any] = {"queues": 8, "hand": 2, "queue_length": 10}


def levels_of(*settings: LevelSettings) -> Levels:
    levels = Levels()
    levels.configure({s.name: s for s in settings})
    return levels


def enter(levels: Levels, flow: str, name: str = "a", now: float = 0.0, seats: int = 1) -> Ticket:
    ticket = levels.enter(name, flow, seats, now)
    assert isinstance(ticket, Ticket)
    return ticket


def test_what_has_no_seat_is_refused_where_nothing_waits() -> None:
    levels = levels_of(level(seats=2))
    first = enter(levels, "x")
    enter(levels, "x")
    assert levels.enter("a", "x", 1, 0.0) is Refused.CONCURRENCY_LIMIT
    levels.leave(first, 1.0)
    enter(levels, "x")


def test_the_exempt_never_wait() -> None:
    levels = levels_of(level(seats=None))
    assert all(enter(levels, "x").seated_at is not None for _ in range(10_000))


def test_a_full_hand_is_refused_and_others_are_not() -> None:
    levels = levels_of(level(seats=1, queues=64, hand=4, queue_length=5))
    enter(levels, "noisy")
    waiting = [levels.enter("a", "noisy", 1, 0.0) for _ in range(100)]
    assert waiting.count(Refused.QUEUE_FULL) == 100 - 4 * 5
    assert enter(levels, "quiet").seated_at is None


def test_a_quiet_flow_is_next_however_many_a_noisy_one_has_waiting() -> None:
    levels = levels_of(level(seats=1, queues=64, hand=4, queue_length=100))
    running = [enter(levels, "noisy")]
    noisy = [enter(levels, "noisy") for _ in range(40)]
    now = 0.0
    for _ in range(5):  # the noisy flow has been served for a while
        now += 1.0
        levels.leave(running.pop(), now)
        running = [t for t in noisy if t.seated_at == now]
    quiet = enter(levels, "quiet", now=now)
    for _ in range(4 + 1):  # at most one of each queue of the noisy one's hand before it
        now += 1.0
        levels.leave(running.pop(), now)
        if quiet.seated_at is not None:
            return
        running = [t for t in noisy if t.seated_at == now]
    raise AssertionError("the quiet flow waits")


def test_idle_seats_are_lent_and_come_back() -> None:
    lender = level("lender", 10, lendable=4)
    borrower = level("borrower", 2, borrowable=3)
    levels = levels_of(lender, borrower)
    borrowed = [enter(levels, "x", "borrower") for _ in range(5)]
    assert levels.enter("borrower", "x", 1, 0.0) is Refused.CONCURRENCY_LIMIT
    own = [enter(levels, "y", "lender") for _ in range(7)]
    assert levels.enter("lender", "y", 1, 0.0) is Refused.CONCURRENCY_LIMIT
    levels.leave(borrowed.pop(), 1.0)
    own.append(enter(levels, "y", "lender"))
    assert len(own) == 8


def test_who_gives_up_waiting_leaves_its_place() -> None:
    levels = levels_of(level(seats=1, **QUEUED))
    first = enter(levels, "x")
    second, third = enter(levels, "x"), enter(levels, "x")
    levels.leave(second, 1.0)
    levels.leave(first, 2.0)
    assert (second.seated_at, third.seated_at) == (None, 2.0)


@given(st.data())
def test_bounds_hold_and_nobody_waits_beside_an_idle_level(data: st.DataObject) -> None:
    settings = [
        level("a", 3, lendable=2, **QUEUED),
        level("b", 2, lendable=1, borrowable=2, **QUEUED),
        level("c", 0, borrowable=1),
    ]
    levels = levels_of(*settings)
    inside: list[Ticket] = []
    for step in range(data.draw(st.integers(1, 80))):
        now = float(step)
        if inside and data.draw(st.booleans()):
            levels.leave(inside.pop(data.draw(st.integers(0, len(inside) - 1))), now)
        else:
            name, flow = data.draw(st.sampled_from("abc")), data.draw(st.sampled_from("xyz"))
            ticket = levels.enter(name, flow, data.draw(st.integers(1, 3)), now)
            if isinstance(ticket, Ticket):
                inside.append(ticket)
        for each in levels.all():
            assert each.running == sum(t.seats for t in inside if t.level is each and is_seated(t))
            waiting = [t for t in inside if t.level is each and not is_seated(t)]
            assert each.waiting == len(waiting) == sum(len(q.waiting) for q in each.queues)
            assert not (waiting and each.running == 0)
        assert_bounded(list(levels.all()))


def is_seated(ticket: Ticket) -> bool:
    return ticket.seated_at is not None


def assert_bounded(found: list[Level]) -> None:
    """One request of a level may always run; all others have seats of somebody."""
    seats = sum(each.settings.seats or 0 for each in found)
    assert sum(each.running for each in found) <= seats + 3 * len(found)
