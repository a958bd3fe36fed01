"""Who sends a request: credentials from the TLS connection and the Authorization header."""

from functools import lru_cache

from cryptography import x509

from sagong.api import errors
from sagong.server.authn.interface import ANONYMOUS, Authenticator, Credentials
from sagong.server.http.exchange import Exchange, Middleware, Next
from sagong.server.http.messages import Answered, Request


def authentication(
    authenticator: Authenticator, anonymous_paths: frozenset[str] | None = None
) -> Middleware:
    """A middleware that sets the exchange's user, or refuses with 401.

    Requests without credentials are let in to ``anonymous_paths`` only, if there are any.
    """

    async def run(exchange: Exchange, following: Next) -> Answered:
        user = await authenticator.authenticate(credentials_of(exchange.incoming))
        if user is None or (
            user is ANONYMOUS
            and anonymous_paths is not None
            and exchange.path not in anonymous_paths
        ):
            raise errors.Unauthorized()
        exchange.user = user
        return await following(exchange)

    return run


def credentials_of(request: Request) -> Credentials:
    """What the request shows."""
    der = request.certificate
    return Credentials(request.headers.bearer_token, _certificate(der) if der else None)


@lru_cache(maxsize=1024)  # pure; a certificate comes with every request of its connection
def _certificate(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)
