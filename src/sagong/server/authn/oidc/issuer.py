"""The keys of one issuer, found by OpenID Connect discovery and fetched again when they change."""

import asyncio
import logging
import ssl
from typing import Any

import orjson

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.server.authn.interface import BadToken
from sagong.server.authn.oidc.configuration import Jwt

log = logging.getLogger(__name__)

FETCH_SECONDS_MAX = 10.0
ANSWER_BYTES_MAX = 1024 * 1024
# A token with an unknown key id makes us look again, but not more often than this.
REFRESH_SECONDS_MIN = 10.0
WELL_KNOWN = "/.well-known/openid-configuration"


class Unreachable(Exception):
    """The issuer gave no usable answer."""


class Issuer:
    """Made at start, asked first when a token of it comes."""

    def __init__(self, jwt: Jwt, clock: Clock) -> None:
        self._jwt = jwt
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._fetched_at = -REFRESH_SECONDS_MIN
        self._lock = asyncio.Lock()  # one fetch at a time; whoever waits takes its result

    async def key(self, key_id: str) -> Any:
        """The public key of an id ("" if the issuer has just one). Raises BadToken."""
        if (found := self._find(key_id)) is not None:
            return found
        async with self._lock:
            if (found := self._find(key_id)) is not None:
                return found
            if self._clock.monotonic() - self._fetched_at >= REFRESH_SECONDS_MIN:
                await self._refresh()
        if (found := self._find(key_id)) is None:
            raise BadToken("oidc: verify token: failed to verify id token signature")
        return found

    def _find(self, key_id: str) -> Any:
        if key_id:
            return self._keys.get(key_id)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _refresh(self) -> None:
        import jwt  # slow to import, and only needed with an issuer

        try:
            async with asyncio.timeout(FETCH_SECONDS_MAX):
                keys = await self._fetch()
        except (Unreachable, TimeoutError, OSError) as error:
            log.warning("cannot fetch the keys of %s: %s", self._jwt.url, error)
            raise BadToken("oidc: authenticator not initialized") from error
        self._fetched_at = self._clock.monotonic()
        found = {}
        for key in keys:
            try:
                found[str(key.get("kid", ""))] = jwt.PyJWK(key)
            except jwt.PyJWTError:
                log.info("%s has a key of an unknown type: %s", self._jwt.url, key.get("kty"))
        self._keys = found

    async def _fetch(self) -> list[Obj]:
        import aiohttp

        context = ssl.create_default_context(cadata=self._jwt.ca or None)
        try:
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context), trust_env=False
            ) as session:
                url = self._jwt.discovery_url or self._jwt.url.rstrip("/") + WELL_KNOWN
                document = await _get(session, url)
                if document.get("issuer") != self._jwt.url:
                    raise Unreachable(f"its discovery document is of {document.get('issuer')!r}")
                keys = await _get(session, str(document.get("jwks_uri")))
        except aiohttp.ClientError as error:
            raise Unreachable(str(error)) from error
        listed = keys.get("keys")
        if not isinstance(listed, list):
            raise Unreachable("its key set has no keys")
        return [key for key in listed if isinstance(key, dict)]


async def _get(session: Any, url: str) -> Obj:
    if not url.startswith("https://"):
        raise Unreachable(f"{url!r} is not an https URL")
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise Unreachable(f"{url} answered {answer.status}")
        data = await answer.content.read(ANSWER_BYTES_MAX + 1)
        if len(data) > ANSWER_BYTES_MAX:
            raise Unreachable(f"{url} answered more than {ANSWER_BYTES_MAX} bytes")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Unreachable(f"{url} answered no JSON") from error
    if not isinstance(found, dict):
        raise Unreachable(f"{url} answered no object")
    return found
