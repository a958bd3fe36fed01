"""Requests passed on to the extension that serves them: every verb, watches, upgrades."""

import asyncio

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from sagong.api.errors import ServiceUnavailable
from sagong.core.tunnel import HOP_HEADERS
from sagong.server.aggregation.calling import Caller
from sagong.server.aggregation.identity import headers_of, is_identity
from sagong.server.aggregation.services import Extension
from sagong.server.http.exchange import Exchange
from sagong.server.remote.locating import Unresolved
from sagong.server.remote.words import failure_text
from sagong.server.streams.backend import blocks_of, cause_of
from sagong.server.streams.joining import pass_through
from sagong.server.streams.kubelets import Unreachable

_FRAMING = frozenset(("content-length", "transfer-encoding", "host"))


async def pass_on(exchange: Exchange, extension: Extension, caller: Caller) -> web.StreamResponse:
    """The extension's answer to an authorised request. Raises ServiceUnavailable."""
    if not extension.is_available:
        raise ServiceUnavailable("service unavailable")
    target = exchange.path + (f"?{exchange.query}" if exchange.query else "")
    try:
        if "upgrade" in exchange.request.headers.get("Connection", "").lower():
            return await _upgrade(exchange, extension, caller, target)
        return await _plain(exchange, extension, caller, target)
    except (Unresolved, ValueError) as error:
        raise ServiceUnavailable("service unavailable") from error


async def _upgrade(
    exchange: Exchange, extension: Extension, caller: Caller, target: str
) -> web.StreamResponse:
    request = exchange.request
    kept = [
        (name, value)
        for name, value in request.headers.items()
        if not is_identity(name) and name.lower() not in _FRAMING
    ]
    endpoint = caller.endpoint(extension)
    try:
        return await pass_through(request, endpoint, target, kept + headers_of(exchange.user))
    except Unreachable as error:
        raise ServiceUnavailable(f"error trying to reach service: {error.message}") from error


async def _plain(
    exchange: Exchange, extension: Extension, caller: Caller, target: str
) -> web.StreamResponse:
    request = exchange.request
    body = request.content if request.body_exists else None
    try:
        async with caller.request(
            extension, request.method, target, _forwarded(exchange), body
        ) as answer:
            return await _answer(exchange, answer)
    except (aiohttp.ClientError, OSError) as error:
        why = failure_text(cause_of(error), extension.service.host)
        raise ServiceUnavailable(f"error trying to reach service: {why}") from error


def _forwarded(exchange: Exchange) -> CIMultiDict[str]:
    request = exchange.request
    headers = CIMultiDict(
        [
            (name, value)
            for name, value in request.headers.items()
            if not is_identity(name)
            and name.lower() not in HOP_HEADERS
            and name.lower() not in _FRAMING
        ]
    )
    headers.extend(headers_of(exchange.user))
    if request.body_exists and request.content_length is not None:
        headers["Content-Length"] = str(request.content_length)
    if request.remote:
        seen = request.headers.get("X-Forwarded-For")
        headers["X-Forwarded-For"] = f"{seen}, {request.remote}" if seen else request.remote
    headers["Audit-Id"] = exchange.audit_id
    return headers


async def _answer(exchange: Exchange, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    request = exchange.request
    headers = CIMultiDict(
        [
            (name, value)
            for name, value in answer.headers.items()
            if name.lower() not in HOP_HEADERS or name.lower() == "content-length"
        ]
    )
    headers.setdefault("Audit-Id", exchange.audit_id)
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    if exchange.on_start is not None and exchange.verb == "CONNECT":  # a watch, which goes on
        exchange.on_start(answer.status)
    try:
        async for block in blocks_of(answer, request):
            await response.write(block)
    except ConnectionError:
        return response  # the client has gone: nothing is left to tell it
    except (aiohttp.ClientError, asyncio.IncompleteReadError):
        # The extension went away in the middle: the client must not take this for the end.
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
