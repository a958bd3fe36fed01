"""What the agent's server refuses, in plain text as the kubelet does."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from sagong.api.errors import ApiError
from sagong.node.cri.errors import RuntimeFailure, RuntimeNotFound

log = logging.getLogger(__name__)


class Refusal(Exception):
    """A request that cannot be answered: an HTTP status and a text for people."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def plain(text: str, status: int = 200) -> web.Response:
    return web.Response(
        body=text.encode(),
        status=status,
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
        },
    )


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers what handlers raise: the supervised border of the agent's requests."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return plain(refusal.text, refusal.status)
    except RuntimeNotFound as error:
        return plain(str(error), 404)
    except RuntimeFailure as error:
        return plain(str(error), 500)
    except ApiError as error:
        return plain(error.message, error.http_code)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception:
        log.exception("request failed: %s %s", request.method, request.path)
        return plain("internal error\n", 500)
