"""Reading and decoding request bodies, within bounds."""

from typing import Any

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.decode import Decoded, decode_body, decode_value
from sagong.api.protobuf.decoding import decode
from sagong.api.protobuf.messages import Messages
from sagong.server.http.messages import Request
from sagong.server.http.negotiation import PROTOBUF_TYPE

BODY_BYTES_MAX = 3 * 1024 * 1024  # upstream's MaxRequestBodyBytes; past it 413
UNKNOWN_FORMAT = (
    "the body of the request was in an unknown format - accepted media types include: "
    "application/json, application/yaml, application/vnd.kubernetes.protobuf"
)
_GO_WORDS = {dict: "object", list: "array", str: "string", bool: "bool"}
_GO_MAP = "map[string]interface {}"
_OBJECT_TYPES = ("application/json", "application/yaml")
_PATCH_TYPES = {str(type_): type_ for type_ in PatchType}
_PATCH_TYPES["application/apply-patch"] = PatchType.APPLY


async def read(incoming: Request) -> bytes:
    """The whole body. Raises RequestEntityTooLarge."""
    request = incoming.taken
    if incoming.body is not None or request is None:
        return incoming.body or b""
    length = request.content_length
    if length is not None and length > BODY_BYTES_MAX:
        raise _too_large()
    if not request.body_exists:
        return b""
    chunks, size = [], 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise _too_large()
        chunks.append(chunk)
    incoming.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return incoming.body


def _too_large() -> errors.RequestEntityTooLarge:
    return errors.RequestEntityTooLarge(
        f"Request entity too large: limit is {BODY_BYTES_MAX}", details={}
    )


def media_type_of(request: Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def decode_object(data: bytes, media_type: str, kind: str, messages: Messages) -> Decoded:
    """A JSON, YAML or protobuf object. Raises BadRequest, UnsupportedMediaType."""
    media_type = media_type or "application/json"
    if media_type == PROTOBUF_TYPE:
        try:
            return Decoded(decode(data, messages), [])
        except ValueError as error:
            raise errors.BadRequest(
                f"the object provided is unrecognized (must be of type {kind}): {error}"
            ) from error
    if media_type not in _OBJECT_TYPES:
        raise errors.UnsupportedMediaType(UNKNOWN_FORMAT)
    if not data.strip():
        raise errors.BadRequest(
            f"the object provided is unrecognized (must be of type {kind}): "
            "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
        )
    return decode_body(data, media_type=media_type, kind=kind)


def patch_type_of(media_type: str) -> PatchType:
    """Raises UnsupportedMediaType."""
    found = _PATCH_TYPES.get(media_type)
    if found is None:
        raise errors.UnsupportedMediaType("415: Unsupported Media Type", details={})
    return found


def decode_patch(data: bytes, type_: PatchType) -> tuple[Any, list[str]]:
    """The decoded patch and its duplicate members. Raises BadRequest."""
    media_type = "application/yaml" if type_ is PatchType.APPLY else "application/json"
    # A strategic patch is decoded without a word about what is decoded.
    told = "" if type_ is PatchType.STRATEGIC else "error decoding patch: "
    try:
        patch, duplicates = decode_value(data, media_type=media_type)
    except ValueError as error:
        why = str(error).removeprefix("json parse error: ")
        if type_ is PatchType.APPLY:
            told = "error decoding YAML: "
        raise errors.BadRequest(f"{told}{why}") from None
    wanted, word = (list, "[]interface {}") if type_ is PatchType.JSON else (dict, _GO_MAP)
    if type_ is not PatchType.APPLY and patch is not None and not isinstance(patch, wanted):
        given = _GO_WORDS.get(type(patch), "number")
        message = f"json: cannot unmarshal {given} into Go value of type {word}"
        raise errors.BadRequest(f"{told}{message}")
    return patch, duplicates
