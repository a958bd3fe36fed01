"""Who asks the agent, and whether they may: certificates, TokenReview, SubjectAccessReview.

What a path needs is upstream's ``pkg/kubelet/server/auth.go``: a subresource of this node, the
finer ones (pods, healthz, configz) or ``proxy`` in their stead.
"""

import ssl
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import NameOID

from sagong.api.types import Obj, User
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.node.server.refusals import Refusal

AUTHENTICATED_GROUP = "system:authenticated"
MASTERS_GROUP = "system:masters"
# Upstream keeps answers for 2 and 5 minutes; what has been taken back should end sooner.
TOKEN_SECONDS = 60.0
ALLOWED_SECONDS = 60.0
DENIED_SECONDS = 10.0
REMEMBERED_MAX = 1024  # answers; past it the oldest are forgotten

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PREFIXES = {
    "/stats": ("stats",),
    "/metrics": ("metrics",),
    "/logs": ("log",),
    "/checkpoint": ("checkpoint",),
    "/pods": ("pods", "proxy"),
    "/runningpods": ("pods", "proxy"),
    "/healthz": ("healthz", "proxy"),
    "/configz": ("configz", "proxy"),
}


def subresources_of(path: str) -> Sequence[str]:
    """Any of these, of this node, must be allowed."""
    for prefix, found in _PREFIXES.items():
        if path == prefix or path.startswith(prefix + "/"):
            return found
    return ("proxy",)


def user_of(certificate: x509.Certificate) -> User:
    """CN is the user, each O a group."""
    subject = certificate.subject
    names = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = [str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return User(names[0] if names else "", groups=(*groups, AUTHENTICATED_GROUP))


class _Remembered:
    """Answers for a while, so many of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, User | bool | None]] = {}

    async def get(
        self,
        key: Hashable,
        ask: Callable[[], Awaitable[User | bool | None]],
        *,
        positive_seconds: float,
    ) -> User | bool | None:
        known = self._answers.get(key)
        now = self._clock.monotonic()
        if known is not None and now < known[0]:
            return known[1]
        answer = await ask()
        self._answers.pop(key, None)
        self._answers[key] = (now + (positive_seconds if answer else DENIED_SECONDS), answer)
        if len(self._answers) > REMEMBERED_MAX:
            del self._answers[next(iter(self._answers))]
        return answer


@dataclass(frozen=True, slots=True)
class Asked:
    """What must be allowed."""

    user: User
    verb: str
    subresource: str


class Access:
    """Decides over requests to one node's agent."""

    def __init__(self, client: Client, node: str, clock: Clock) -> None:
        self._client = client
        self._node = node
        self._remembered = _Remembered(clock)

    async def check(self, request: web.Request) -> User:
        """Who asks. Raises Refusal (401, 403), and ApiError if the API server cannot be asked."""
        user = await self._authenticate(request)
        if user is None:
            raise Refusal(401, "Unauthorized")
        if MASTERS_GROUP in user.groups:
            return user
        verb = _VERBS.get(request.method, "get")
        subresources = subresources_of(request.path)
        for subresource in subresources:
            asked = Asked(user, verb, subresource)
            key = (user.name, user.groups, verb, subresource)
            if await self._remembered.get(
                key, partial(self._review, asked), positive_seconds=ALLOWED_SECONDS
            ):
                return user
        raise Refusal(
            403,
            f"Forbidden (user={user.name}, verb={verb}, resource=nodes, "
            f"subresource(s)=[{' '.join(subresources)}])\n",
        )

    async def _authenticate(self, request: web.Request) -> User | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        tls: ssl.SSLObject | None = request.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls is not None else None
        if der:
            return user_of(x509.load_der_x509_certificate(der))
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        found = await self._remembered.get(
            ("token", token), lambda: self._token_user(token), positive_seconds=TOKEN_SECONDS
        )
        return found if isinstance(found, User) else None

    async def _token_user(self, token: str) -> User | None:
        review: Obj = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        answer = await self._client.create("tokenreviews.authentication.k8s.io", review)
        status = answer.get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status.get("user") or {}
        return User(
            user.get("username", ""),
            user.get("uid", ""),
            tuple(user.get("groups") or ()),
            {key: tuple(values) for key, values in (user.get("extra") or {}).items()},
        )

    async def _review(self, asked: Asked) -> bool:
        user = asked.user
        spec: Obj = {
            "user": user.name,
            "groups": list(user.groups),
            "uid": user.uid,
            "extra": {key: list(values) for key, values in user.extra.items()},
            "resourceAttributes": {
                "verb": asked.verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": asked.subresource,
                "name": self._node,
            },
        }
        review: Obj = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": spec,
        }
        answer = await self._client.create("subjectaccessreviews.authorization.k8s.io", review)
        return bool((answer.get("status") or {}).get("allowed"))
