"""Service-account tokens: made, signed and checked.

A token names the account it stands for and the pod, secret or node to which it is bound, each with
its uid; it is good only while all of them exist. Signatures are checked once and remembered, what
the token names is looked up every time. Source of semantics: upstream's ``pkg/serviceaccount``.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sagong.api.meta import name_of, namespace_of, uid_of
from sagong.api.types import Encoded, Obj, User
from sagong.core.clock import Clock, parse_time
from sagong.core.ids import Ids
from sagong.server.admission.interface import Lister
from sagong.server.authn.interface import Authenticated, BadToken, in_authenticated_group
from sagong.server.authn.x509 import CREDENTIAL_ID

ISSUER = "https://kubernetes.default.svc.cluster.local"
USER_PREFIX = "system:serviceaccount:"
ALL_ACCOUNTS_GROUP = "system:serviceaccounts"
_EXTRA = "authentication.kubernetes.io/"

# How far clocks may differ, and how long a deleted pod's token still works.
LEEWAY_SECONDS = 60.0
# Verified signatures kept. Past it the oldest is verified again when it comes back.
SIGNATURES_MAX = 8192
_ALGORITHM = "ES256"


def user_name(namespace: str, name: str) -> str:
    return f"{USER_PREFIX}{namespace}:{name}"


def split_user_name(user: str) -> tuple[str, str] | None:
    """Namespace and name of a service account's user name, or None if it is no such."""
    parts = user.removeprefix(USER_PREFIX).split(":") if user.startswith(USER_PREFIX) else []
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


def group_names(namespace: str) -> tuple[str, str]:
    return (ALL_ACCOUNTS_GROUP, f"{ALL_ACCOUNTS_GROUP}:{namespace}")


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token's life depends on besides its account; each is the object or None."""

    pod: Obj | None = None
    secret: Obj | None = None
    # The node of the pod, or the node to which the token itself is bound.
    node: Obj | None = None


class TokenIssuer:
    """Signs tokens with the cluster's service-account key (EC P-256, PEM)."""

    def __init__(self, key_pem: bytes, clock: Clock, ids: Ids, *, issuer: str = ISSUER) -> None:
        key = serialization.load_pem_private_key(key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the service-account key is not an elliptic-curve key")
        self._key = key
        self._clock = clock
        self._ids = ids
        self.issuer = issuer
        self.public_key = key.public_key()
        self.key_id = key_id(self.public_key)

    def issue(
        self,
        account: Obj,
        *,
        audiences: Sequence[str],
        ttl_seconds: int,
        warn_after_seconds: int = 0,
        binding: Binding | None = None,
    ) -> str:
        """A token for a ServiceAccount object. With ``warn_after_seconds`` its use past that many
        seconds is to be warned about."""
        now = int(self._clock.now())
        claims: Obj = {
            "aud": list(audiences),
            "exp": now + ttl_seconds,
            "iat": now,
            "iss": self.issuer,
            "jti": self._ids.uid(),
            "kubernetes.io": _private_claims(account, binding or Binding()),
            "nbf": now,
            "sub": user_name(namespace_of(account), name_of(account)),
        }
        if warn_after_seconds:
            claims["kubernetes.io"]["warnafter"] = now + warn_after_seconds
        import jwt  # slow to import, see _verify

        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": self.key_id})


def _private_claims(account: Obj, binding: Binding) -> Obj:
    claims: Obj = {"namespace": namespace_of(account), "serviceaccount": _reference(account)}
    for kind, obj in (
        ("pod", binding.pod),
        ("secret", binding.secret),
        ("node", binding.node),
    ):
        if obj is not None:
            claims[kind] = _reference(obj)
    return claims


def _reference(obj: Obj) -> Obj:
    reference = {"name": name_of(obj)}
    return reference | {"uid": uid_of(obj)} if uid_of(obj) else reference


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """The ``kid`` of a public key: the digest of its DER form."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class _Good:
    """A token that has been found good, and what that rests on."""

    audiences: Sequence[str]  # that were asked for
    since: float
    until: float
    objects: tuple[tuple[str, str, str, Encoded], ...]  # resource, namespace, name, state
    authenticated: Authenticated


@dataclass(slots=True)
class _Verified:
    """A token whose signature is good, and whom it names once it has been found good in full."""

    claims: Obj
    user: User | None = None
    good: _Good | None = None


class ServiceAccountAuthenticator:
    """Checks tokens of one issuer against its keys and the objects that they name."""

    def __init__(
        self,
        keys: Sequence[ec.EllipticCurvePublicKey],
        lister: Lister,
        clock: Clock,
        *,
        issuer: str = ISSUER,
    ) -> None:
        self._keys: Mapping[str, ec.EllipticCurvePublicKey] = {key_id(k): k for k in keys}
        self._lister = lister
        self._clock = clock
        self._issuer = issuer
        self._verified: dict[str, _Verified] = {}

    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> Authenticated | None:
        verified = self._verified.get(token)
        if verified is None:
            found = self._verify(token)
            if found is None:
                return None
            if len(self._verified) >= SIGNATURES_MAX:
                del self._verified[next(iter(self._verified))]
            verified = self._verified[token] = _Verified(found)
        good = verified.good
        if good is not None and self._is_still(good, audiences):
            return good.authenticated
        claims = verified.claims
        meant_for = claims.get("aud") or []
        meant_for = [meant_for] if isinstance(meant_for, str) else meant_for
        matching = tuple(a for a in audiences if a in meant_for)
        if not matching:
            raise BadToken(
                f"token audiences {_quoted(meant_for)} is invalid"
                f" for the target audiences {_quoted(audiences)}"
            )
        self._check_times(claims)
        objects = self._check_objects(claims)
        if verified.user is None:
            verified.user = _user_of(claims)
        authenticated = Authenticated(verified.user, matching)
        # Of what is being deleted the time decides, which the object does not tell.
        if not any("deletionTimestamp" in state.obj["metadata"] for *_, state in objects):
            since, until = _times(claims)
            verified.good = _Good(audiences, since, until, objects, authenticated)
        return authenticated

    def _is_still(self, good: _Good, audiences: Sequence[str]) -> bool:
        """Has nothing changed since? Every request of a client asks."""
        if good.audiences != audiences or not good.since <= self._clock.now() <= good.until:
            return False
        get = self._lister.get
        for resource, namespace, name, state in good.objects:
            if get(resource, namespace, name) is not state:
                return False
        return True

    def _verify(self, token: str) -> Obj | None:
        """The claims of a token of ours; None for another's. Raises BadToken for a forgery."""
        import jwt  # slow to import: a server that starts has no tokens to look at yet

        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            return None
        if unverified.get("iss") != self._issuer:
            return None
        named = self._keys.get(header.get("kid", ""))
        # Only our own algorithm is ever accepted, whatever the token's header says.
        for key in [named] if named else self._keys.values():
            try:
                claims: Obj = jwt.decode(
                    token,
                    key,
                    algorithms=[_ALGORITHM],
                    options={
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                        "verify_aud": False,
                    },
                )
            except jwt.PyJWTError:
                continue
            return claims
        raise BadToken("go-jose/go-jose: error in cryptographic primitive")

    def _check_times(self, claims: Obj) -> None:
        now = self._clock.now()
        if now > _times(claims)[1]:
            raise BadToken("service account token has expired")
        if now < claims.get("nbf", 0) - LEEWAY_SECONDS:
            raise BadToken("service account token is not valid yet")
        if now < claims.get("iat", 0) - LEEWAY_SECONDS:
            raise BadToken("service account token is issued in the future")

    def _check_objects(self, claims: Obj) -> tuple[tuple[str, str, str, Encoded], ...]:
        """The objects that the token depends on, as they are."""
        ours = claims.get("kubernetes.io") or {}
        namespace, account = ours.get("namespace", ""), ours.get("serviceaccount") or {}
        name = account.get("name", "")
        found = self._living("serviceaccounts", namespace, name)
        if found is None:
            raise BadToken(f'serviceaccounts "{name}" not found')
        if uid_of(found.obj) != account.get("uid"):
            raise BadToken(
                f"service account UID ({uid_of(found.obj)}) does not match claim"
                f" ({account.get('uid', '')})"
            )
        objects = [("serviceaccounts", namespace, name, found)]
        bindings = [
            ("secrets", namespace, ours.get("secret"), "service account secret ref"),
            ("pods", namespace, ours.get("pod"), "service account pod ref"),
        ]
        if not ours.get("pod"):
            bindings.append(("nodes", "", ours.get("node"), "service account node ref"))
        for resource, within, bound, what in bindings:
            if bound:
                state = self._check_bound(resource, within, bound, what)
                objects.append((resource, within, bound.get("name", ""), state))
        return tuple(objects)

    def _check_bound(self, resource: str, namespace: str, bound: Obj, what: str) -> Encoded:
        found = self._living(resource, namespace, bound.get("name", ""))
        if found is None:
            raise BadToken("service account token has been invalidated")
        if uid_of(found.obj) != bound.get("uid"):
            raise BadToken(
                f"{resource[:-1]} UID ({uid_of(found.obj)}) does not match {what} claim"
                f" ({bound.get('uid', '')})"
            )
        return found

    def _living(self, resource: str, namespace: str, name: str) -> Encoded | None:
        """The object, unless it is gone or was to be gone a while ago."""
        encoded = self._lister.get(resource, namespace, name)
        if encoded is None:
            return None
        deleted = encoded.obj["metadata"].get("deletionTimestamp")
        if deleted and parse_time(deleted) < self._clock.now() - LEEWAY_SECONDS:
            return None
        return encoded


def _times(claims: Obj) -> tuple[float, float]:
    """Since when and until when a token is valid."""
    since = max(claims.get("nbf", 0), claims.get("iat", 0)) - LEEWAY_SECONDS
    return since, claims.get("exp", 0) + LEEWAY_SECONDS


def _user_of(claims: Obj) -> User:
    """Whom a token names that has been checked; of its claims alone."""
    ours = claims["kubernetes.io"]
    namespace, account = ours["namespace"], ours["serviceaccount"]
    return User(
        name=user_name(namespace, account["name"]),
        uid=account["uid"],
        groups=in_authenticated_group(group_names(namespace)),
        extra=_extra(claims, ours),
    )


def _extra(claims: Obj, ours: Obj) -> Mapping[str, tuple[str, ...]]:
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[CREDENTIAL_ID] = (f"JTI={claims['jti']}",)
    for kind in ("pod", "node"):
        bound = ours.get(kind)
        if bound:
            extra[f"{_EXTRA}{kind}-name"] = (bound["name"],)
            if bound.get("uid"):
                extra[f"{_EXTRA}{kind}-uid"] = (bound["uid"],)
    return extra


def _quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
