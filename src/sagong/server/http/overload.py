"""Overload is answered, not queued: so many requests at once, and past them 429.

Limits are upstream's ``--max-requests-inflight`` and ``--max-mutating-requests-inflight``. Requests
that last (watches, logs, exec) are not counted, administrators are never refused, and the cluster's
own components have room of their own, so that users cannot crowd out what keeps nodes alive.
"""

from dataclasses import dataclass

from sagong.api import errors
from sagong.server.http.exchange import Exchange, Middleware, Next
from sagong.server.http.messages import Answered

READING_MAX = 400
MUTATING_MAX = 200
RETRY_SECONDS = 1

_READING = frozenset(("GET", "HEAD", "OPTIONS"))
_LASTING = frozenset(("attach", "exec", "log", "portforward", "proxy"))
_EXEMPT = "system:masters"
_COMPONENTS = frozenset(("system:nodes", "system:serviceaccounts:kube-system"))


@dataclass(slots=True)
class Room:
    """How many requests of one sort are under way, and how many may be."""

    most: int
    taken: int = 0


def overload(*, reading_max: int = READING_MAX, mutating_max: int = MUTATING_MAX) -> Middleware:
    """A middleware that refuses what comes on top. Raises TooManyRequests."""
    rooms = {
        (component, reading): Room(reading_max if reading else mutating_max)
        for component in (False, True)
        for reading in (False, True)
    }

    async def run(exchange: Exchange, following: Next) -> Answered:
        groups = exchange.user.groups
        if _EXEMPT in groups or is_lasting(exchange):
            return await following(exchange)
        component = is_component(exchange)
        room = rooms[component, exchange.method in _READING]
        if room.taken >= room.most:
            raise too_many()
        room.taken += 1
        try:
            return await following(exchange)
        finally:
            room.taken -= 1

    return run


def is_lasting(exchange: Exchange) -> bool:
    """Does the request go on for as long as its client likes?"""
    if "watch=" in exchange.query or "follow=" in exchange.query or "/watch/" in exchange.path:
        return True
    parts = exchange.path.split("/")
    return parts[-1] in _LASTING or "proxy" in parts


def is_component(exchange: Exchange) -> bool:
    """Does the request come from a part of the cluster itself?"""
    user = exchange.user
    return user.name.startswith("system:kube-") or not _COMPONENTS.isdisjoint(user.groups)


def too_many() -> errors.TooManyRequests:
    return errors.TooManyRequests(
        "too many requests, please try again later",
        details={"retryAfterSeconds": RETRY_SECONDS},
    )
