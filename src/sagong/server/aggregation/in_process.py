"""Calls of this process for what extensions serve, such as the metrics of an autoscaler.

They pass the same authorisation as requests from outside, and go on as the component that asks.
Only single documents are read this way: nothing here lists or writes what extensions keep.
"""

import asyncio
from urllib.parse import urlencode

import aiohttp
from multidict import CIMultiDict

from sagong.api.call import Answer, Call, Single, Verb
from sagong.api.errors import ServiceUnavailable, unknown_resource
from sagong.api.types import Encoded, User
from sagong.client.in_process import Dispatch
from sagong.client.requests import error_of, request_of
from sagong.server.aggregation.aggregator import Aggregator
from sagong.server.aggregation.calling import ANSWER_BYTES_MAX
from sagong.server.aggregation.identity import headers_of
from sagong.server.aggregation.services import Extension
from sagong.server.dispatch import ApiServer
from sagong.server.remote.locating import Unresolved

ANSWER_SECONDS_MAX = 30.0  # a component must not wait for ever for somebody else's server


def aggregating(server: ApiServer, aggregator: Aggregator) -> Dispatch:
    """The server's dispatch, with what extensions serve."""

    async def dispatch(call: Call, user: User) -> Answer:
        extensions = aggregator.extensions.all()
        extension = extensions.get((call.resource.group, call.resource.version))
        if extension is None:
            return await server.dispatch(call, user)
        await server.authorize(call, user)
        if call.verb is not Verb.GET:
            raise unknown_resource()
        return await _read(call, user, extension, aggregator)

    return dispatch


async def _read(call: Call, user: User, extension: Extension, aggregator: Aggregator) -> Single:
    """Raises what the extension's answer says, or ServiceUnavailable."""
    if not extension.is_available:
        raise ServiceUnavailable("service unavailable")
    request = request_of(call)
    target = request.path + (f"?{urlencode(request.query)}" if request.query else "")
    headers = CIMultiDict(headers_of(user))
    headers["Accept"] = "application/json"
    try:
        async with (
            asyncio.timeout(ANSWER_SECONDS_MAX),
            aggregator.caller.request(extension, request.method, target, headers) as answer,
        ):
            body = await answer.content.read(ANSWER_BYTES_MAX)
    except (aiohttp.ClientError, OSError, TimeoutError, Unresolved, ValueError) as error:
        raise ServiceUnavailable(f"error trying to reach service: {error}") from error
    if answer.status >= 400:
        raise error_of(answer.status, body, answer.headers.get("Retry-After"))
    return Single(Encoded(data=body), answer.status)
