"""Who sends a request: credentials from the TLS connection and the Authorization header."""

import ssl

from aiohttp import web
from cryptography import x509

from sagong.api import errors
from sagong.server.authn.interface import Authenticator, Credentials
from sagong.server.http.exchange import Exchange, Middleware, Next

_WEBSOCKET_TOKEN = "base64url.bearer.authorization.k8s.io."


def authentication(authenticator: Authenticator) -> Middleware:
    """A middleware that sets the exchange's user, or refuses with 401."""

    async def run(exchange: Exchange, following: Next) -> web.StreamResponse:
        user = await authenticator.authenticate(credentials_of(exchange.request))
        if user is None:
            raise errors.Unauthorized()
        exchange.user = user
        return await following(exchange)

    return run


def credentials_of(request: web.BaseRequest) -> Credentials:
    """What the request shows. A verified certificate is parsed once a connection."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return Credentials(bearer, _certificate_of(request))


def _certificate_of(request: web.BaseRequest) -> x509.Certificate | None:
    transport = request.transport
    if transport is None:
        return None
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    der = tls.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der) if der else None
