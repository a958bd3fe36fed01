"""All methods of authentication as one, in order; whoever is known is system:authenticated.

A bearer token that nobody accepts is refused even if anonymous requests are allowed: a client that
shows a credential means it. Source of semantics: apiserver's ``authenticatorfactory``.
"""

from collections.abc import Sequence
from dataclasses import replace

from sagong.api.types import User
from sagong.server.authn.interface import (
    ANONYMOUS,
    Authenticated,
    Authenticator,
    BadToken,
    Credentials,
    TokenAuthenticator,
    in_authenticated_group,
)


class UnionAuthenticator:
    """Client certificates and the like first, then bearer tokens, then anonymity if allowed."""

    def __init__(
        self,
        requests: Sequence[Authenticator],
        tokens: Sequence[TokenAuthenticator],
        *,
        api_audiences: Sequence[str],
        anonymous: bool = True,
    ) -> None:
        self._requests = tuple(requests)
        self._tokens = tuple(tokens)
        self._anonymous = anonymous
        self.api_audiences = tuple(api_audiences)

    async def authenticate(self, credentials: Credentials) -> User | None:
        """The user; None only if nothing was shown and anonymous requests are not allowed.

        Raises BadToken (an Unauthorized) for a bearer token that nobody accepts.
        """
        for method in self._requests:
            user = await method.authenticate(credentials)
            if user is not None:
                return with_authenticated_group(user)
        if credentials.bearer_token:
            found = await self.authenticate_token(credentials.bearer_token, self.api_audiences)
            if found is None:
                raise BadToken("invalid bearer token")
            return found.user
        return ANONYMOUS if self._anonymous else None

    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> Authenticated | None:
        """As one token method. A method that calls the token bad does not stop the others."""
        reasons = []
        for method in self._tokens:
            try:
                found = await method.authenticate_token(token, audiences)
            except BadToken as error:
                reasons.append(error.why)
                continue
            if found is not None:
                user = with_authenticated_group(found.user)
                return found if user is found.user else replace(found, user=user)
        if reasons:
            raise BadToken(f"[{', '.join(['invalid bearer token', *reasons])}]")
        return None


def with_authenticated_group(user: User) -> User:
    """The user in system:authenticated, unless it is in one of the two groups already."""
    groups = in_authenticated_group(user.groups)
    return user if groups is user.groups else replace(user, groups=groups)
