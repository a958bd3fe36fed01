"""Who somebody is and what they may do, put together from an administrator's settings."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from sagong.api.types import User
from sagong.core.clock import Clock
from sagong.server.admission.interface import Lister
from sagong.server.authn.bootstrap_tokens import BootstrapTokenAuthenticator
from sagong.server.authn.interface import TokenAuthenticator
from sagong.server.authn.oidc.authenticator import OidcAuthenticator
from sagong.server.authn.oidc.configuration import DEFAULT as NOBODY_ELSE
from sagong.server.authn.oidc.configuration import AuthenticationConfiguration
from sagong.server.authn.service_accounts import ISSUER, ServiceAccountAuthenticator
from sagong.server.authn.static_tokens import StaticTokenAuthenticator
from sagong.server.authn.union import UnionAuthenticator, with_authenticated_group
from sagong.server.authn.webhook import KEPT_SECONDS, WebhookAuthenticator
from sagong.server.authn.x509 import X509Authenticator
from sagong.server.authz.configuration import DEFAULT as NODE_AND_RBAC
from sagong.server.authz.configuration import Mode
from sagong.server.authz.interface import Attributes, Authorizer, Decision, Effect
from sagong.server.authz.node import NodeAuthorizer
from sagong.server.authz.rbac import RbacAuthorizer
from sagong.server.authz.union import UnionAuthorizer
from sagong.server.authz.webhook import WebhookAuthorizer, WebhookSettings
from sagong.server.reviewing.reviewer import Reviewer

if TYPE_CHECKING:
    from sagong.server.expressions import Expression

TOKEN_REVIEW_SECONDS = 10.0

Close = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """What an administrator may change of the default, which is Kubernetes' own."""

    authentication: AuthenticationConfiguration = NOBODY_ELSE
    token_webhook: Path | None = None  # a kubeconfig that says where TokenReviews go
    authorization: Sequence[Mode] = NODE_AND_RBAC


DEFAULT = AccessSettings()


class Access:
    """Authenticator and authorizer of one server, and what is to be closed with it.

    Raises KubeconfigError, BadExpression, OSError for settings that cannot be used.
    """

    def __init__(self, settings: AccessSettings, lister: Lister, clock: Clock) -> None:
        self.closing: list[Close] = []
        self.rbac = RbacAuthorizer(lister)
        self._settings = settings
        self._lister = lister
        self._clock = clock

    def authenticator(
        self, static_tokens: Mapping[str, User], account_key: ec.EllipticCurvePublicKey
    ) -> UnionAuthenticator:
        """Tokens are tried in this order; what costs a question to others comes last."""
        settings, clock = self._settings, self._clock
        tokens: list[TokenAuthenticator] = [
            # In its group beforehand, so that no request has to be put into it.
            StaticTokenAuthenticator(
                {t: with_authenticated_group(u) for t, u in static_tokens.items()}
            ),
            ServiceAccountAuthenticator([account_key], self._lister, clock),
            BootstrapTokenAuthenticator(self._lister, clock),
        ]
        if jwts := settings.authentication.jwt:
            tokens.append(OidcAuthenticator(jwts, _of_claims, clock, api_audiences=[ISSUER]))
        if settings.token_webhook is not None:
            reviewer = self._reviewer(settings.token_webhook, TOKEN_REVIEW_SECONDS)
            tokens.append(
                WebhookAuthenticator(
                    reviewer, clock, api_audiences=[ISSUER], kept_seconds=KEPT_SECONDS
                )
            )
        return UnionAuthenticator(
            [X509Authenticator()],
            tokens,
            api_audiences=[ISSUER],
            anonymous=settings.authentication.anonymous.enabled,
        )

    def authorizer(self) -> Authorizer:
        return UnionAuthorizer([self._mode(mode) for mode in self._settings.authorization])

    def _mode(self, mode: Mode) -> Authorizer:
        if mode.webhook is not None:
            return self._webhook(mode.webhook)
        if mode.type == "Node":
            return NodeAuthorizer(self._lister)
        if mode.type == "RBAC":
            return self.rbac
        return Always(Effect.ALLOW if mode.type == "AlwaysAllow" else Effect.NO_OPINION)

    def _webhook(self, settings: WebhookSettings) -> Authorizer:
        conditions = [_of_request(text) for text in settings.conditions]
        reviewer = self._reviewer(settings.kubeconfig, settings.timeout_seconds)
        return WebhookAuthorizer(settings, reviewer, conditions, self._clock)

    def _reviewer(self, kubeconfig: Path, seconds: float) -> Reviewer:
        reviewer = Reviewer(kubeconfig, seconds=seconds)
        self.closing.append(reviewer.close)
        return reviewer


class Always:
    """The modes AlwaysAllow and AlwaysDeny (which, as upstream's, just never allows)."""

    def __init__(self, effect: Effect) -> None:
        why = "" if effect is Effect.ALLOW else "Everything is forbidden."
        self._decision = Decision(effect, why)

    async def authorize(self, attributes: Attributes) -> Decision:
        return self._decision


def _of_claims(text: str, *, of_user: bool = False) -> "Expression":
    from sagong.server.authn.oidc.expressions import compile_expression  # CEL is large

    return compile_expression(text, of_user=of_user)


def _of_request(text: str) -> "Expression":
    from sagong.api.cel.types import DYN  # as above
    from sagong.server.expressions import compiled

    return compiled(text, {"request": DYN})
