"""Impersonation headers: from here on a request counts as another user's, if that is allowed."""

from aiohttp import web

from sagong.server.authn.impersonation import impersonate
from sagong.server.authz.interface import Authorizer
from sagong.server.http.exchange import Exchange, Middleware, Next

_PREFIX = "impersonate-"


def impersonation(authorizer: Authorizer) -> Middleware:
    """A middleware that replaces the exchange's user. Raises Forbidden."""

    async def run(exchange: Exchange, following: Next) -> web.StreamResponse:
        headers = exchange.request.headers
        if any(name.lower().startswith(_PREFIX) for name in headers):
            exchange.user = await impersonate(exchange.user, headers.items(), authorizer)
        return await following(exchange)

    return run
