"""The transport to any conformant API server, over HTTP/1.1 and TLS."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from yarl import URL

from sagong.api.call import Answer, Call, Event, Single, Verb, Watching
from sagong.api.errors import ApiError, InternalError, ServiceUnavailable, Timeout
from sagong.api.types import Encoded
from sagong.client.access import Access, TokenSource
from sagong.client.requests import (
    Request,
    error_of,
    event_of,
    listing_of,
    request_of,
    warnings_of,
)

CONNECT_SECONDS = 10.0
# A server gives up on a request after 60 s itself; what takes longer has lost its connection.
REQUEST_SECONDS = 75.0
# A peer that acknowledges nothing for so long is gone: the watch ends and the client watches anew.
SILENT_PEER_SECONDS = 30
ATTEMPTS = 4  # of what may safely be sent again
RETRY_FIRST_SECONDS = 0.1
THROTTLED_ATTEMPTS = 10  # of what was refused with 429 and Retry-After, as client-go does
THROTTLED_SECONDS_MAX = 30
# Objects are at most 3 MB as sent; a longer line is not a watch event.
LINE_BYTES_MAX = 16 * 1024 * 1024
CONNECTIONS_MAX = 256

_READS = frozenset({Verb.GET, Verb.LIST, Verb.WATCH})


class Https:
    """A Transport. Failures are ``api.errors``: ServiceUnavailable and Timeout for the network."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._url = access.server.rstrip("/")
        self._tokens = TokenSource(access)
        self._session: aiohttp.ClientSession | None = None
        self._retired: aiohttp.ClientSession | None = None

    async def send(self, call: Call) -> Answer:
        request = request_of(call)
        response = await self._respond(call, request)
        warnings = warnings_of(response.headers.getall("Warning", ()))
        if call.verb == Verb.WATCH:
            return Watching(self._events(response), warnings)
        async with response:
            body = await self._read(response)
        if call.verb == Verb.LIST:
            return listing_of(call.resource, body, warnings)
        return Single(Encoded(data=body), response.status, warnings)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        streaming: bool = False,
    ) -> aiohttp.ClientResponse:
        """One request to a path, answered with its open response: logs, discovery, raw access.

        Raises the error that a failure status stands for. Close the response.
        """
        session = self._open_session()
        total = None if streaming else REQUEST_SECONDS
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_SECONDS)
        try:
            response = await session.request(
                method,
                URL(self._url + path, encoded=True).with_query(dict(query or {})),
                data=body,
                headers=self.headers() | dict(headers or {}),
                timeout=timeout,
                server_hostname=self._access.tls_server_name or None,
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise _NotSent(f"cannot reach {self._url}: {error}") from error
        except TimeoutError as error:
            raise Timeout(f"{self._url} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(self._url, error) from error
        if response.status < 400:
            return response
        async with response:
            found = await self._read(response)
        raise error_of(response.status, found, response.headers.get("Retry-After"))

    def headers(self) -> dict[str, str]:
        """What every request carries; also for what cannot go through ``request`` (WebSocket)."""
        token = self._tokens.current()
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def replace_access(self, access: Access) -> None:
        """Use other credentials from now on; what is under way, watches too, goes on with the old
        ones until the next replacement."""
        await self._close_retired()
        self._access, self._tokens = access, TokenSource(access)
        self._url = access.server.rstrip("/")
        self._retired, self._session = self._session, None

    async def close(self) -> None:
        await self._close_retired()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _close_retired(self) -> None:
        if self._retired is not None:
            await self._retired.close()
            self._retired = None

    async def _respond(self, call: Call, request: Request) -> aiohttp.ClientResponse:
        """The open response to a request, sent again where that is safe."""
        failures = throttled = 0
        while True:
            try:
                return await self._send_once(call, request)
            except _NotSent as error:
                failures += 1
                if failures >= ATTEMPTS:
                    raise ServiceUnavailable(error.message) from error
            except ServiceUnavailable as error:
                failures += 1
                cause = error.__cause__
                lost = isinstance(cause, aiohttp.ClientError | OSError)
                lost = lost and not isinstance(cause, aiohttp.ClientSSLError)
                if call.verb not in _READS or not lost or failures >= ATTEMPTS:
                    raise
            except ApiError as error:
                throttled += 1
                wait = error.retry_after_seconds
                if error.http_code != 429 or not wait or throttled >= THROTTLED_ATTEMPTS:
                    raise
                await asyncio.sleep(min(wait, THROTTLED_SECONDS_MAX))
                continue
            await asyncio.sleep(RETRY_FIRST_SECONDS * 2**failures)

    async def _send_once(self, call: Call, request: Request) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json"}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if call.user_agent:
            headers["User-Agent"] = call.user_agent
        return await self.request(
            request.method,
            request.path,
            query=request.query,
            body=request.body,
            headers=headers,
            streaming=call.verb == Verb.WATCH,
        )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.read()
        except TimeoutError as error:
            raise Timeout(f"{self._url} did not finish its answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceUnavailable(f"{self._url}: {error}") from error

    async def _events(self, response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
        try:
            async for line in _lines(response):
                yield event_of(line)
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceUnavailable(f"{self._url}: the watch broke off: {error}") from error
        finally:
            response.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = self._access.ssl_context()
            connector = aiohttp.TCPConnector(
                ssl=context if context is not None else True,
                limit=CONNECTIONS_MAX,
                socket_factory=_socket,
            )
            self._session = aiohttp.ClientSession(connector=connector, raise_for_status=False)
        return self._session


class _NotSent(ServiceUnavailable):
    """No connection could be made, so the server has seen nothing of the request."""


def _unreachable(url: str, error: Exception) -> ServiceUnavailable:
    refused = isinstance(error, aiohttp.ClientConnectorError)
    # A certificate that does not fit will not fit the next time.
    distrusted = isinstance(error, aiohttp.ClientSSLError)
    cls = _NotSent if refused and not distrusted else ServiceUnavailable
    return cls(f"cannot reach {url}: {error}")


def _socket(address: Any) -> socket.socket:
    family, type_, protocol, *_ = address
    made = socket.socket(family, type_, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_PEER_SECONDS // 2)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_SECONDS * 1000)
    return made


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines that are not empty; what has no line end when the stream ends was cut off."""
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        *whole, rest = chunk.split(b"\n")
        for end in whole:
            line = b"".join((*parts, end))
            parts.clear()
            size = 0
            if line.strip():
                yield line
        if rest:
            parts.append(rest)
            size += len(rest)
            if size > LINE_BYTES_MAX:
                raise InternalError(f"a watch event is longer than {LINE_BYTES_MAX} bytes")
