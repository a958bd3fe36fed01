"""Bearer tokens that another program knows: TokenReview.

Source of semantics: apiserver's ``plugin/pkg/authenticator/token/webhook``.
"""

import hashlib
from collections.abc import Sequence

from sagong.api.types import Obj, User
from sagong.core.clock import Clock
from sagong.server.authn.interface import Authenticated, BadToken
from sagong.server.reviewing.reviewer import Memory, Reviewer, ReviewFailed

KEPT_SECONDS = 120.0  # upstream's --authentication-token-webhook-cache-ttl


class WebhookAuthenticator:
    """See TokenAuthenticator. Asked last, when nobody here knows the token."""

    def __init__(
        self, reviewer: Reviewer, clock: Clock, *, api_audiences: Sequence[str], kept_seconds: float
    ) -> None:
        self._reviewer = reviewer
        self._api_audiences = frozenset(api_audiences)
        self._kept_seconds = kept_seconds
        self._memory: Memory[Authenticated] = Memory(clock)

    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> Authenticated | None:
        # Not the token itself: what is in memory should be of no use to who reads it.
        question = (hashlib.sha256(token.encode()).digest(), tuple(audiences))
        known = self._memory.recall(question)
        if known is not None:
            return known
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": token, "audiences": list(audiences)},
        }
        try:
            status = (await self._reviewer.review(review))["status"]
        except ReviewFailed as error:
            raise BadToken(f"webhook: {error}") from error
        if status.get("authenticated") is not True:
            if status.get("error"):
                raise BadToken(str(status["error"]))
            return None
        found = Authenticated(_user(status.get("user") or {}), self._meant(status, audiences))
        if not found.audiences and audiences:
            raise BadToken("webhook: the token is for other audiences")
        self._memory.keep(question, found, self._kept_seconds)
        return found

    def _meant(self, status: Obj, audiences: Sequence[str]) -> tuple[str, ...]:
        """A webhook that knows no audiences means the API's own."""
        named = status.get("audiences")
        meant = frozenset(named) if named else self._api_audiences
        return tuple(audience for audience in audiences if audience in meant)


def _user(info: Obj) -> User:
    return User(
        str(info.get("username") or ""),
        uid=str(info.get("uid") or ""),
        groups=tuple(info.get("groups") or ()),
        extra={key: tuple(values) for key, values in (info.get("extra") or {}).items()},
    )
