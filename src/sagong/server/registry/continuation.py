"""Continue tokens: where a chunked list goes on, and at which revision (upstream's format)."""

import base64
import re
from dataclasses import dataclass

import orjson

from sagong.api import errors
from sagong.api.decode import decode_value

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
    """Raises BadRequest for what is no token of ours, in the words of upstream's decoder."""
    try:
        wrong = re.search("[^-_A-Za-z0-9]", text)
        if wrong is not None or len(text) % 4 == 1:
            at = len(text) - 1 if wrong is None else wrong.start()
            raise ValueError(f"illegal base64 data at input byte {at}")
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        token, _ = decode_value(data)
        if not isinstance(token, dict):
            raise ValueError("json: cannot unmarshal into Go value of type storage.continueToken")
    except ValueError as error:
        why = str(error).removeprefix("json parse error: ")
        raise _refused(f": {why}") from None
    revision, start = token.get("rv", 0), token.get("start", "")
    if token.get("v") != _VERSION:
        raise _refused(": server does not recognize this encoded version")
    if not isinstance(revision, int) or revision == 0:
        raise _refused(f": incorrect encoded start resourceVersion (version {_VERSION})")
    if not isinstance(start, str) or not start:
        raise _refused(f": encoded start key empty (version {_VERSION})")
    return Continuation(revision, start)


def _refused(why: str) -> errors.BadRequest:
    return errors.BadRequest(f"invalid continue token: continue key is not valid{why}")
