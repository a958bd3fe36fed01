"""Sends a review to a webhook and reads its answer, over pooled connections."""

import asyncio
import errno
import ssl
from typing import TYPE_CHECKING

import orjson

from sagong.api.types import Obj
from sagong.core.ids import Ids
from sagong.server.admission.interface import Lister
from sagong.server.remote.locating import Address, Target, Unresolved, locate
from sagong.server.remote.trust import trusting
from sagong.server.remote.words import answer_text, failure_text

if TYPE_CHECKING:
    import aiohttp

ANSWER_BYTES_MAX = 16 * 1024 * 1024  # a list of converted objects; past it the call has failed
CONNECTIONS_MAX = 512
IDLE_SECONDS = 60.0


class CallFailed(Exception):
    """No usable answer; the text is Go's. ``code`` is the answer's, 0 without one."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Poster:
    """One pool of connections. Made when first used; to be closed."""

    def __init__(self, lister: Lister, ids: Ids) -> None:
        self._lister = lister
        self._ids = ids
        self._session: aiohttp.ClientSession | None = None

    async def post(self, target: Target, body: Obj, *, seconds: float) -> Obj:
        """The answer to a review, an object. Raises CallFailed."""
        await asyncio.sleep(0)  # who asks may be in no task, and timeouts need one
        url = f"{target.url}{'&' if '?' in target.url else '?'}timeout={_go_seconds(seconds)}"
        data = orjson.dumps(body)
        try:
            async with asyncio.timeout(seconds):
                code, answer = await self._send(target, url, data)
        except TimeoutError as error:
            raise CallFailed(f'Post "{url}": context deadline exceeded') from error
        except (Unresolved, ValueError) as error:
            raise CallFailed(f'Post "{url}": {error}') from error
        if not 200 <= code < 300:
            raise CallFailed(answer_text(code, answer), code)
        try:
            found = orjson.loads(answer)
        except orjson.JSONDecodeError as error:
            text = "couldn't get version/kind; json parse error: " + str(error)
            raise CallFailed(text) from error
        if not isinstance(found, dict):
            raise CallFailed("couldn't get version/kind; json parse error: not an object")
        return found

    async def _send(self, target: Target, url: str, data: bytes) -> tuple[int, bytes]:
        import aiohttp

        for is_last in (False, True):
            try:
                return await self._send_once(target, url, data)
            except (aiohttp.ClientError, OSError) as error:
                if not is_last and _was_closed(error):
                    continue
                text = failure_text(_cause_of(error), _where(error))
                raise CallFailed(f'Post "{url}": {text}') from error
        raise AssertionError("unreachable")

    async def _send_once(self, target: Target, url: str, data: bytes) -> tuple[int, bytes]:
        from yarl import URL

        wanted = URL(url, encoded=True)
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, */*",
            "User-Agent": "kube-apiserver-admission",
        }
        name: str | None = None
        if target.service is not None:
            headers["Host"] = f"{target.service.host}:{target.service.port}"
            name = target.service.host
            address = locate(self._lister, target.service, self._ids.random)
            wanted = URL(_url_of(address) + wanted.raw_path_qs, encoded=True)
        context: ssl.SSLContext | bool = trusting(target.ca_bundle)
        async with self._open().post(
            wanted,
            data=data,
            headers=headers,
            ssl=context,
            server_hostname=name,
            allow_redirects=False,
        ) as response:
            return response.status, await _read(response)

    def _open(self) -> "aiohttp.ClientSession":
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_SECONDS
                ),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _was_closed(error: BaseException) -> bool:
    """Was it a kept connection, which its server had closed? Then nothing has been processed."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorError):
        return False  # no connection was made at all
    broken = isinstance(error, OSError) and error.errno in (errno.ECONNRESET, errno.EPIPE)
    return broken or isinstance(error, aiohttp.ServerDisconnectedError)


def _url_of(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"https://{host}:{address.port}"


async def _read(response: "aiohttp.ClientResponse") -> bytes:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            raise CallFailed(f"the response is longer than {ANSWER_BYTES_MAX} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _cause_of(error: BaseException) -> BaseException:
    """What lies under the HTTP client's own classes."""
    for attribute in ("certificate_error", "os_error"):
        found = getattr(error, attribute, None)
        if isinstance(found, BaseException):
            return found
    return error.__cause__ or error


def _where(error: BaseException) -> str:
    host, port = getattr(error, "host", ""), getattr(error, "port", "")
    return f"{host}:{port}"


def _go_seconds(seconds: float) -> str:
    """A duration as Go prints it, whole seconds."""
    whole = int(seconds)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
