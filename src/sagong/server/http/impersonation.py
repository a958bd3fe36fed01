"""Impersonation headers: from here on a request counts as another user's, if that is allowed."""

from sagong.server.authn.impersonation import impersonate
from sagong.server.authz.interface import Authorizer
from sagong.server.http.exchange import Exchange, Middleware, Next
from sagong.server.http.messages import Answered


def impersonation(authorizer: Authorizer) -> Middleware:
    """A middleware that replaces the exchange's user. Raises Forbidden."""

    async def run(exchange: Exchange, following: Next) -> Answered:
        headers = exchange.incoming.headers
        if headers.impersonates:
            exchange.user = await impersonate(exchange.user, headers.items(), authorizer)
        return await following(exchange)

    return run
