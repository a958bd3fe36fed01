"""Failures as Status responses: the supervised border of requests."""

import asyncio
import logging
from collections.abc import Callable

import orjson

from sagong.api import errors
from sagong.api.protobuf.encoding import kubernetes_encoder
from sagong.server.http.exchange import Exchange, Middleware, Next
from sagong.server.http.messages import Answered, Response
from sagong.server.http.negotiation import PROTOBUF_TYPE, negotiate

log = logging.getLogger(__name__)


def failures(on_panic: Callable[[], None]) -> Middleware:
    """A middleware that answers what the inner ones raise; ``on_panic`` counts the unforeseen."""

    async def run(exchange: Exchange, following: Next) -> Answered:
        try:
            return await following(exchange)
        except errors.ApiError as error:
            return status_response(error, exchange)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            on_panic()
            log.exception("request failed: %s %s", exchange.method, exchange.path)
            return status_response(
                errors.InternalError(
                    "Internal error occurred: the request could not be carried out",
                    details={"causes": [{"message": "see the server's log"}]},
                ),
                exchange,
            )

    return run


def status_response(error: errors.ApiError, exchange: Exchange | None = None) -> Response:
    """The response of a failure. An Unauthorized says how to authenticate."""
    headers = {"Content-Type": "application/json"}
    body = orjson.dumps(error.status()) + b"\n"
    if exchange is not None and _wants_protobuf(exchange.incoming.headers.accept):
        headers["Content-Type"] = PROTOBUF_TYPE
        body = kubernetes_encoder().body(error.status())
    if error.retry_after_seconds:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="kubernetes"'
    return Response(body=body, status=error.http_code, headers=headers)


def _wants_protobuf(accept: str) -> bool:
    try:
        return negotiate(accept, tables=False).media_type == PROTOBUF_TYPE
    except errors.NotAcceptable:
        return False
