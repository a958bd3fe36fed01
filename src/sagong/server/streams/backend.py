"""Plain HTTP requests to agents, pods and services, over one pool of connections."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from yarl import URL

from sagong.server.streams.kubelets import CONNECT_SECONDS, Endpoint, Unreachable, dial_text

# How soon a quiet stream whose client has gone is given up.
LOOK_SECONDS = 5.0
CONNECTIONS_MAX = 1000  # streams such as followed logs hold one each


class Backend:
    """One pool. Made when first used, so that it belongs to the running loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def get(self, endpoint: Endpoint, path: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A GET of a quoted path. Raises Unreachable."""
        url = URL(endpoint.url + path, encoded=True)
        try:
            response = await self.session().get(url, ssl=endpoint.tls or False)
        except (aiohttp.ClientError, OSError) as error:
            text = dial_text(endpoint, cause_of(error))
            raise Unreachable(f'Get "{url}": {text}') from error
        try:
            yield response
        finally:
            response.close()

    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                timeout=timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def blocks_of(
    answer: aiohttp.ClientResponse, request: web.BaseRequest
) -> AsyncIterator[bytes]:
    """The body as it comes, until its end or until the client that waits for it has gone."""
    while True:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                block = await answer.content.readany()
        except TimeoutError:
            if request.transport is None:
                return
            continue
        if not block:
            return
        yield block


def cause_of(error: BaseException) -> BaseException:
    """What lies under aiohttp's own classes."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error
    if isinstance(error, asyncio.TimeoutError | ssl.SSLError):
        return error
    return error.__cause__ or error
