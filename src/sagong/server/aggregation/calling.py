"""Connections to extensions, as the front proxy that they know by its certificate."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from sagong.core.ids import Ids
from sagong.server.admission.interface import Lister
from sagong.server.aggregation.conditions import CheckFailed
from sagong.server.aggregation.identity import AGGREGATOR, headers_of
from sagong.server.aggregation.services import Extension
from sagong.server.remote.locating import locate
from sagong.server.remote.trust import proxying
from sagong.server.remote.words import failure_text
from sagong.server.streams.backend import cause_of
from sagong.server.streams.kubelets import CONNECT_SECONDS, Endpoint

CONNECTIONS_MAX = 1000  # watches hold one each
ANSWER_BYTES_MAX = 32 * 1024 * 1024  # of a document about the extension


class Caller:
    """One pool. To be closed."""

    def __init__(self, lister: Lister, ids: Ids, certificate: Path, key: Path) -> None:
        self._lister = lister
        self._ids = ids
        self._certificate = certificate
        self._key = key
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    def endpoint(self, extension: Extension) -> Endpoint:
        """Where to connect to now. Raises Unresolved, ValueError (a bundle that is none)."""
        address = locate(self._lister, extension.service, self._ids.random)
        name = extension.service.host
        return Endpoint(address.host, address.port, self._context(extension), name)

    @contextlib.asynccontextmanager
    async def request(
        self,
        extension: Extension,
        method: str,
        target: str,
        headers: "CIMultiDict[str]",
        body: aiohttp.StreamReader | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Raises Unresolved, ValueError, aiohttp.ClientError, OSError."""
        endpoint = self.endpoint(extension)
        assert endpoint.tls is not None
        async with self._open().request(
            method,
            URL(endpoint.url + target, encoded=True),
            headers=headers,
            data=body,
            ssl=endpoint.tls,
            server_hostname=extension.service.host,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as response:
            yield response

    async def fetch(self, extension: Extension, path: str, *, seconds: float) -> bytes:
        """A document, asked for as the aggregator. Raises CheckFailed, Unresolved, ValueError."""
        headers = CIMultiDict(headers_of(AGGREGATOR))
        headers["Accept"] = "application/json"
        endpoint = self.endpoint(extension)
        url = f"{endpoint.url}{path}"
        missing = f"failing or missing response from {url}"
        try:
            async with asyncio.timeout(seconds):
                async with self.request(extension, "GET", path, headers) as response:
                    if not 200 <= response.status < 300:
                        raise CheckFailed(f"{missing}: bad status from {url}: {response.status}")
                    return await response.content.read(ANSWER_BYTES_MAX)
        except TimeoutError:
            raise CheckFailed(f"timed out waiting for {url}") from None
        except (aiohttp.ClientError, OSError) as error:
            why = failure_text(cause_of(error), endpoint.authority)
            raise CheckFailed(f'{missing}: Get "{url}": {why}') from error

    def _context(self, extension: Extension) -> ssl.SSLContext:
        key = (extension.ca_bundle, extension.insecure)
        context = self._contexts.get(key)
        if context is None:
            context = self._contexts[key] = proxying(
                extension.ca_bundle,
                insecure=extension.insecure,
                certificate=self._certificate,
                key=self._key,
            )
        return context

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
