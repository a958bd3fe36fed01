"""One HTTP request on its way through the middlewares, and what they learn of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagong.api.types import User
from sagong.core.invariant import invariant
from sagong.server.authn.interface import ANONYMOUS
from sagong.server.http.messages import Answered, Request

if TYPE_CHECKING:
    from aiohttp import web


OnStart = Callable[[int], None]


@dataclass(slots=True)
class Exchange:
    """A request; ``user`` is set by authentication."""

    incoming: Request
    method: str
    path: str  # raw, still percent-encoded
    query: str  # raw
    started: float  # monotonic seconds
    audit_id: str
    user: User = ANONYMOUS
    # Labels of metrics; what the request turned out to be.
    verb: str = ""
    resource: str = ""
    group: str = ""
    version: str = ""
    subresource: str = ""
    scope: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    # Why the request is allowed, once that is known.
    allowed_because: str | None = None
    # What admission tells the audit log.
    notes: dict[str, str] = field(default_factory=dict)
    # Whom to tell that an answer which goes on has begun, with its status.
    on_start: OnStart | None = None

    @property
    def request(self) -> "web.BaseRequest":
        """aiohttp's request, for those who take over its connection."""
        taken = self.incoming.taken
        invariant(taken is not None, "a plain connection cannot be taken over", path=self.path)
        assert taken is not None
        return taken


Next = Callable[[Exchange], Awaitable[Answered]]
Middleware = Callable[[Exchange, Next], Awaitable[Answered]]


def chain(middlewares: list[Middleware], last: Next) -> Next:
    """The middlewares around the last handler, the first of them outermost."""
    following = last
    for middleware in reversed(middlewares):
        following = _bound(middleware, following)
    return following


def _bound(middleware: Middleware, following: Next) -> Next:
    return lambda exchange: middleware(exchange, following)
