"""Tokens with which a new machine asks for its first certificate: secrets in kube-system.

Source of semantics: upstream's ``plugin/pkg/auth/authenticator/token/bootstrap``. Whatever is wrong
with such a token, it is simply unknown.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence

from sagong.api.meta import is_deleting
from sagong.api.types import Obj, User
from sagong.core.clock import Clock, parse_time
from sagong.server.admission.interface import Lister
from sagong.server.authn.interface import Authenticated

BOOTSTRAPPERS_GROUP = "system:bootstrappers"
USER_PREFIX = "system:bootstrap:"
SECRET_TYPE = "bootstrap.kubernetes.io/token"
SECRET_PREFIX = "bootstrap-token-"

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokenAuthenticator:
    """Knows ``<id>.<secret>`` by the secret ``bootstrap-token-<id>``."""

    def __init__(self, lister: Lister, clock: Clock) -> None:
        self._lister = lister
        self._clock = clock

    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> Authenticated | None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        token_id, token_secret = match.groups()
        secret = self._lister.get("secrets", "kube-system", SECRET_PREFIX + token_id)
        if secret is None or not self._is_good(secret.obj, token_id, token_secret):
            return None
        groups = [g.strip() for g in read_data(secret.obj, "auth-extra-groups").split(",")]
        groups = [g for g in groups if g]
        if not all(_GROUP.fullmatch(group) for group in groups):
            return None
        user = User(USER_PREFIX + token_id, groups=(BOOTSTRAPPERS_GROUP, *sorted(set(groups))))
        return Authenticated(user, tuple(audiences))

    def _is_good(self, secret: Obj, token_id: str, token_secret: str) -> bool:
        return (
            not is_deleting(secret)
            and secret.get("type") == SECRET_TYPE
            and _is_same(read_data(secret, "token-secret"), token_secret)
            and read_data(secret, "token-id") == token_id
            and not self._is_expired(read_data(secret, "expiration"))
            and read_data(secret, "usage-bootstrap-authentication") == "true"
        )

    def _is_expired(self, expiration: str) -> bool:
        if not expiration:
            return False
        try:
            return parse_time(expiration) < self._clock.now()
        except ValueError:
            return True


def _is_same(known: str, shown: str) -> bool:
    """Equality that takes as long whatever the texts have in common."""
    return hmac.compare_digest(known.encode(), shown.encode())


def read_data(secret: Obj, key: str) -> str:
    """A value of a secret as text; "" if absent or not text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
