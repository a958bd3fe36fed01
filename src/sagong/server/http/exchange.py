"""One HTTP request on its way through the middlewares, and what they learn of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from sagong.api.types import User
from sagong.server.authn.interface import ANONYMOUS


@dataclass(slots=True)
class Exchange:
    """A request; ``user`` is set by authentication, ``audit_id`` by the outermost middleware."""

    request: web.BaseRequest
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


Next = Callable[[Exchange], Awaitable[web.StreamResponse]]
Middleware = Callable[[Exchange, Next], Awaitable[web.StreamResponse]]


def chain(middlewares: list[Middleware], last: Next) -> Next:
    """The middlewares around the last handler, the first of them outermost."""
    following = last
    for middleware in reversed(middlewares):
        following = _bound(middleware, following)
    return following


def _bound(middleware: Middleware, following: Next) -> Next:
    async def run(exchange: Exchange) -> web.StreamResponse:
        return await middleware(exchange, following)

    return run
