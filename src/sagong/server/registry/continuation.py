"""Continue tokens: where a chunked list goes on, and at which revision (upstream's format)."""

import base64
import binascii
from dataclasses import dataclass

import orjson

from sagong.api import errors

_VERSION = "meta.k8s.io/v1"
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter, or use the continue token in this response to "
    "retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Continuation:
    """The next path of a list, and its revision; revision -1: whatever is there now."""

    revision: int
    start: str


def encode(continuation: Continuation) -> str:
    token = {"v": _VERSION, "rv": continuation.revision, "start": continuation.start}
    return base64.urlsafe_b64encode(orjson.dumps(token)).rstrip(b"=").decode()


def decode(text: str) -> Continuation:
    """Raises BadRequest for what is no token of ours."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token = orjson.loads(data)
        if token["v"] != _VERSION:
            raise errors.BadRequest(
                "continue key is not valid: server does not recognize this "
                "encoded version " + repr(token["v"])
            )
        return Continuation(int(token["rv"]), str(token["start"]))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise errors.BadRequest(f"continue key is not valid: {error}") from error
