"""Bearer tokens of OpenID Connect issuers: ID tokens, verified and mapped to users."""

import base64
from collections.abc import Sequence

import orjson

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.server.authn.interface import Authenticated, BadToken
from sagong.server.authn.oidc.claims import ClaimMapper, Compile
from sagong.server.authn.oidc.configuration import Jwt
from sagong.server.authn.oidc.issuer import Issuer

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")


class OidcAuthenticator:
    """All issuers of the configuration; a token's ``iss`` says whose it is."""

    def __init__(
        self, jwts: Sequence[Jwt], compile_: Compile, clock: Clock, *, api_audiences: Sequence[str]
    ) -> None:
        self._clock = clock
        self._api_audiences = tuple(api_audiences)
        self._issuers = {
            jwt.url: (jwt, Issuer(jwt, clock), ClaimMapper(jwt, compile_)) for jwt in jwts
        }

    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> Authenticated | None:
        """See TokenAuthenticator. A user of an issuer is one for the API's own audiences."""
        claims = _unverified(token)
        if claims is None or claims.get("iss") not in self._issuers:
            return None
        jwt, issuer, mapper = self._issuers[claims["iss"]]
        verified = await self._verified(token, jwt, issuer)
        user = mapper.user_of(verified)
        meant = tuple(a for a in audiences if a in self._api_audiences)
        return Authenticated(user, meant)

    async def _verified(self, token: str, jwt: Jwt, issuer: Issuer) -> Obj:
        import jwt as library  # slow to import, and only needed with an issuer

        try:
            header = library.get_unverified_header(token)
            key = await issuer.key(str(header.get("kid") or ""))
            claims: Obj = library.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=list(jwt.audiences),
                issuer=jwt.url,
                # Times are ours to check: the clock is injected.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except library.PyJWTError as error:
            raise BadToken(f"oidc: verify token: {error}") from error
        self._check_times(claims)
        return claims

    def _check_times(self, claims: Obj) -> None:
        now = self._clock.now()
        expires, begins = claims.get("exp"), claims.get("nbf")
        if not isinstance(expires, int | float) or expires <= now:
            raise BadToken("oidc: verify token: oidc: token is expired")
        # Upstream's library lets clocks differ by five minutes here.
        if isinstance(begins, int | float) and begins > now + 300:
            raise BadToken("oidc: verify token: oidc: current time is before the nbf time")


def _unverified(token: str) -> Obj | None:
    """The claims that a token says it has; None if it is no JSON web token."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None
