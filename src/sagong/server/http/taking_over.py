"""Connections in aiohttp's hands: those that are taken over, and requests of unusual form.

Imported when the first of them comes: a server that is starting has better things to do.
"""

import asyncio
import ssl

from aiohttp import web

from sagong.core.clock import Clock
from sagong.server.http.connection import Answerer
from sagong.server.http.exchange import Exchange
from sagong.server.http.headers import NO_CACHE, sendable_warnings, warning_header
from sagong.server.http.messages import Headers, Request, Response

KEEPALIVE_SECONDS = 90.0  # an idle connection is closed after this
LINE_BYTES_MAX = 64 * 1024  # of a request line or header; past it 400
# Reading stops above this much unread body, so a client cannot fill memory.
READ_BYTES_MAX = 256 * 1024


class Taken:
    """Goes on with connections that others have begun to read."""

    def __init__(self, answerer: Answerer, clock: Clock) -> None:
        self._answerer = answerer
        self._clock = clock
        self._server = web.Server(
            self._handle,
            keepalive_timeout=KEEPALIVE_SECONDS,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            access_log=None,
            read_bufsize=READ_BYTES_MAX,
        )

    def take(self, transport: asyncio.Transport, data: bytes) -> None:
        """Put aiohttp's protocol in place; ``data`` is what has been read so far."""
        protocol = self._server()
        protocol.connection_made(transport)
        transport.set_protocol(protocol)
        protocol.data_received(data)

    async def shutdown(self, seconds: float) -> None:
        await self._server.shutdown(seconds)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = Headers(tuple(request.headers.items()))
        incoming = Request(
            headers,
            None,
            certificate=_certificate_of(request),
            peer=request.remote or "",
            taken=request,
        )
        exchange = self._answerer.exchange(incoming, request.method, request.raw_path)
        answered = await self._answerer.answer(exchange)
        if isinstance(answered, Response):
            response: web.StreamResponse = web.Response(
                status=answered.status, headers=answered.headers, body=answered.body
            )
        else:
            response = answered
        if not response.prepared:
            _say(response, exchange)
        return response


def _say(response: web.StreamResponse, exchange: Exchange) -> None:
    """What every response says."""
    found = response.headers
    found["Audit-Id"] = exchange.audit_id
    found.setdefault("Cache-Control", NO_CACHE)
    for warning in sendable_warnings(exchange.warnings):
        found.add("Warning", warning_header(warning))


def _certificate_of(request: web.BaseRequest) -> bytes:
    transport = request.transport
    if transport is None:
        return b""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    return (tls.getpeercert(binary_form=True) if tls is not None else None) or b""
