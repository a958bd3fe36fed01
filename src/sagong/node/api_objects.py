"""ConfigMaps, Secrets, claims and tokens as the node reads them: on demand, briefly remembered.

The Node authorizer lets an agent get what its pods refer to, but not list. An object is asked for
again once it is older than ``max_age_seconds``; so a change reaches a volume within one refresh.
"""

import logging
from dataclasses import dataclass

from sagong.api.errors import ApiError, NotFound
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, parse_time

log = logging.getLogger(__name__)

REMEMBERED_MAX = 4096  # objects; past it the oldest are forgotten
# A token is replaced after 80 % of its life, or after a day (upstream's token manager).
TOKEN_LIFE_SHARE = 0.8
TOKEN_AGE_MAX_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Remembered:
    obj: Obj | None
    at: float


@dataclass(frozen=True, slots=True)
class Token:
    """A service account's token."""

    text: str
    refresh_at: float  # wall clock
    expires_at: float


class ApiObjects:
    """Reads for pods. One instance an agent."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._objects: dict[tuple[str, str, str], _Remembered] = {}
        self._tokens: dict[tuple[str, ...], Token] = {}

    async def get(
        self, resource: str, namespace: str, name: str, *, max_age_seconds: float = 0.0
    ) -> Obj | None:
        """The object, or None if it does not exist. Raises ApiError for any other failure."""
        key, now = (resource, namespace, name), self._clock.monotonic()
        known = self._objects.get(key)
        if known is not None and now - known.at < max_age_seconds:
            return known.obj
        try:
            obj: Obj | None = await self._client.get(resource, name, namespace=namespace or None)
        except NotFound:
            obj = None
        self._objects.pop(key, None)
        self._objects[key] = _Remembered(obj, now)
        if len(self._objects) > REMEMBERED_MAX:
            del self._objects[next(iter(self._objects))]
        return obj

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Obj) -> None:
        """A merge patch of an object's status. Raises ApiError."""
        await self._client.patch(
            resource, name, patch, namespace=namespace or None, subresource="status"
        )
        self._objects.pop((resource, namespace, name), None)

    async def token(self, pod: Obj, *, audience: str, expiration_seconds: int) -> Token:
        """A token of the pod's service account, bound to the pod. Raises ApiError.

        An expiring token whose replacement fails is still used while it is valid.
        """
        metadata = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        key = (metadata["uid"], account, audience, str(expiration_seconds))
        known, now = self._tokens.get(key), self._clock.now()
        if known is not None and now < known.refresh_at:
            return known
        try:
            token = await self._request_token(pod, account, audience, expiration_seconds)
        except ApiError:
            if known is not None and now < known.expires_at:
                log.warning("cannot refresh the token of %s; the old one is kept", account)
                return known
            raise
        self._tokens[key] = token
        return token

    def forget_pod(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _request_token(
        self, pod: Obj, account: str, audience: str, expiration_seconds: int
    ) -> Token:
        metadata = pod["metadata"]
        reference = {"apiVersion": "v1", "kind": "Pod"}
        reference |= {"name": metadata["name"], "uid": metadata["uid"]}
        request: Obj = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": reference,
            },
        }
        now = self._clock.now()
        answer = await self._client.create(
            "serviceaccounts",
            request,
            namespace=metadata["namespace"],
            name=account,
            subresource="token",
        )
        expires_at = parse_time(answer["status"]["expirationTimestamp"])
        life = expires_at - now
        refresh_at = now + min(TOKEN_LIFE_SHARE * life, TOKEN_AGE_MAX_SECONDS)
        return Token(answer["status"]["token"], refresh_at, expires_at)
