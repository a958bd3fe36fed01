"""``/openapi/v2`` and ``/openapi/v3`` over HTTP, with hashes by which clients cache for ever."""

from sagong.api import errors
from sagong.server.http import query
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Answered, Response
from sagong.server.http.negotiation import JSON, NOT_ACCEPTABLE, clauses_of
from sagong.server.http.responses import GZIP_BYTES_MIN, accepts_gzip, compress, object_response
from sagong.server.http.routing import Endpoint
from sagong.server.openapi.documents import OpenApi, hash_of
from sagong.server.openapi.protobuf import MEDIA_TYPE, MEDIA_TYPES

_V3 = "/openapi/v3"
_JSON_TYPES = ("*/*", "application/*", "application/json")
_IMMUTABLE = "public, immutable"


class OpenApiEndpoints:
    """Finds the endpoint of an OpenAPI path."""

    def __init__(self, documents: OpenApi) -> None:
        self._documents = documents

    def endpoint(self, path: str) -> Endpoint | None:
        """None for other paths."""
        if path == "/openapi/v2":
            return self._version2
        if path.rstrip("/") == _V3:
            return self._index
        if path.startswith(_V3 + "/"):
            return self._document
        return None

    async def _version2(self, exchange: Exchange) -> Answered:
        accept = exchange.incoming.headers.accept
        asked = [clause.media_type for clause in clauses_of(accept)]
        first = next((t for t in asked if t in MEDIA_TYPES or t in _JSON_TYPES), "")
        if first in MEDIA_TYPES:
            data, type_ = await self._documents.version2_protobuf(), MEDIA_TYPE
            return _cached(exchange, data, "no-cache, private", media_type=type_)
        _check_accept(exchange)
        return _cached(exchange, self._documents.version2(), "no-cache, private")

    async def _index(self, exchange: Exchange) -> Answered:
        return object_response(self._documents.index(), JSON, exchange)

    async def _document(self, exchange: Exchange) -> Answered:
        _check_accept(exchange)
        name = exchange.path.removeprefix(_V3 + "/")
        try:
            data = self._documents.document(name)
        except KeyError:
            return Response(text="404 page not found\n", status=404)
        asked = query.parse(exchange.query).get("hash")
        if asked and asked != hash_of(data):
            location = f"{exchange.path}?hash={hash_of(data)}"
            return Response(status=301, headers={"Location": location})
        return _cached(exchange, data, _IMMUTABLE if asked else "no-cache, private")


def _check_accept(exchange: Exchange) -> None:
    """Other documents, and this one otherwise, are made in JSON only."""
    accept = exchange.incoming.headers.accept
    types = [clause.media_type for clause in clauses_of(accept)] if accept else ["*/*"]
    if not any(type_ in _JSON_TYPES for type_ in types):
        raise errors.NotAcceptable(NOT_ACCEPTABLE)


def _cached(
    exchange: Exchange, data: bytes, cache_control: str, *, media_type: str = "application/json"
) -> Answered:
    tag = f'"{hash_of(data)}"'
    headers = {"ETag": tag, "Cache-Control": cache_control, "Vary": "Accept-Encoding, Accept"}
    if exchange.incoming.headers.get("If-None-Match") == tag:
        return Response(status=304, headers=headers)
    headers["Content-Type"] = media_type
    if len(data) >= GZIP_BYTES_MIN and accepts_gzip(exchange.incoming):
        headers["Content-Encoding"] = "gzip"
        data = compress(data)
    return Response(body=data, headers=headers)
