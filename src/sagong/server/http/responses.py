"""Answers as HTTP responses."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from sagong.api.call import Listing, Single
from sagong.api.protobuf.encoding import kubernetes_encoder
from sagong.api.tables.column import Printer
from sagong.api.tables.table import partial_metadata, table_of
from sagong.api.types import Encoded, Obj, Resource
from sagong.server.http.exchange import Exchange
from sagong.server.http.messages import Request, Response
from sagong.server.http.negotiation import JSON, PROTOBUF_TYPE, Accepted, Shape

JSON_TYPE = "application/json"
# Bodies below this are not worth compressing (upstream's defaultGzipThresholdBytes).
GZIP_BYTES_MIN = 128 * 1024
GZIP_LEVEL = 1
OBJECTS_A_PART = 64  # of a list: some 100 KB of usual objects
_JSON_HEADERS = {"Content-Type": JSON_TYPE}

# The columns of a custom resource; None for those of built-in kinds.
PrinterOf = Callable[[Resource], Printer | None]


def json_response(exchange: Exchange, answer: Single) -> Response:
    """A stored object as it is, which is what most answers are."""
    data = answer.encoded.data + b"\n"
    if len(data) < GZIP_BYTES_MIN:
        return Response(body=data, status=answer.code, headers=_JSON_HEADERS)
    return _sent(data, JSON, exchange, answer.code)


def object_response(
    obj: Obj, accepted: Accepted, exchange: Exchange, *, status: int = 200
) -> Response:
    """A made-up object (not a stored one) in the accepted encoding."""
    if accepted.media_type == PROTOBUF_TYPE:
        return _sent(kubernetes_encoder().body(obj), accepted, exchange, status)
    return _encoded(orjson.dumps(obj) + b"\n", accepted, exchange, status)


def _encoded(data: bytes, accepted: Accepted, exchange: Exchange, status: int) -> Response:
    """Of JSON."""
    if accepted.media_type != JSON_TYPE:
        data = _as_yaml(data)
    return _sent(data, accepted, exchange, status)


def _sent(data: bytes, accepted: Accepted, exchange: Exchange, status: int) -> Response:
    return _in_parts((data,), accepted, exchange, status)


def _in_parts(
    parts: tuple[bytes, ...], accepted: Accepted, exchange: Exchange, status: int
) -> Response:
    headers = {"Content-Type": accepted.media_type}
    if sum(map(len, parts)) >= GZIP_BYTES_MIN and accepts_gzip(exchange.incoming):
        parts = (compress(b"".join(parts)),)
        headers["Content-Encoding"] = "gzip"
        headers["Vary"] = "Accept-Encoding"
    return Response(parts=parts, status=status, headers=headers)


def _as_yaml(data: bytes) -> bytes:
    import yaml  # slow to import, and seldom asked for

    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump(orjson.loads(data), Dumper=dumper, sort_keys=True)
    return text.encode()


def accepts_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


def compress(data: bytes) -> bytes:
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


class Presenter:
    """Puts objects and lists into the form that the client accepts."""

    def __init__(
        self,
        accepted: Accepted,
        exchange: Exchange,
        *,
        now: float,
        include: str,
        printer_of: PrinterOf,
    ) -> None:
        self._accepted = accepted
        self._exchange = exchange
        self._now = now
        self._include = include
        self._printer_of = printer_of

    def single(self, answer: Single, resource: Resource) -> Response:
        accepted = self._accepted
        if accepted.shape is Shape.PLAIN or not _is_object(answer.obj):
            if accepted.media_type == PROTOBUF_TYPE:
                return object_response(answer.obj, accepted, self._exchange, status=answer.code)
            data = answer.encoded.data + b"\n"
            return _encoded(data, accepted, self._exchange, answer.code)
        if accepted.shape is Shape.TABLE:
            metadata = answer.obj.get("metadata") or {}
            version = metadata.get("resourceVersion")
            own = {"resourceVersion": version} if version else {}
            obj = self._table(resource, [answer.obj], own)
        else:
            obj = partial_metadata(answer.obj)
        return object_response(obj, accepted, self._exchange, status=answer.code)

    def listing(self, answer: Listing) -> Response:
        accepted, metadata = self._accepted, list_metadata(answer)
        if accepted.shape is Shape.PLAIN and accepted.media_type == PROTOBUF_TYPE:
            return _sent(_joined_messages(answer, metadata), accepted, self._exchange, 200)
        if accepted.shape is Shape.PLAIN and accepted.media_type == JSON_TYPE:
            return _in_parts(json_parts(answer, metadata), accepted, self._exchange, 200)
        if accepted.shape is Shape.PLAIN:
            data = b"".join(json_parts(answer, metadata))
            return _encoded(data, accepted, self._exchange, 200)
        objs = [encoded.obj for encoded in answer.items]
        if accepted.shape is Shape.TABLE:
            obj = self._table(answer.resource, objs, metadata)
        else:
            obj = {
                "kind": "PartialObjectMetadataList",
                "apiVersion": f"meta.k8s.io/{accepted.version}",
                "metadata": metadata,
                "items": [partial_metadata(item) for item in objs],
            }
        return object_response(obj, accepted, self._exchange)

    def shaped(self, obj: Obj, resource: Resource, *, first: bool) -> Obj:
        """One object of a watch; of tables only the first has the columns."""
        if self._accepted.shape is Shape.TABLE:
            metadata = obj.get("metadata") or {}
            table = self._table(
                resource, [obj], {"resourceVersion": metadata.get("resourceVersion", "")}
            )
            if not first:
                table["columnDefinitions"] = None
            return table
        return partial_metadata(obj)

    def _table(self, resource: Resource, objs: Sequence[Obj], metadata: Obj) -> Obj:
        table = table_of(
            resource,
            objs,
            now=self._now,
            metadata=metadata,
            include=self._include,
            printer=self._printer_of(resource),
        )
        table["apiVersion"] = f"meta.k8s.io/{self._accepted.version}"
        return table


def _is_object(obj: Obj) -> bool:
    return obj.get("kind") != "Status" and "items" not in obj


def list_metadata(answer: Listing) -> Obj:
    metadata: Obj = {"resourceVersion": answer.resource_version}
    if answer.continue_:
        metadata["continue"] = answer.continue_
        if answer.remaining is not None:
            metadata["remainingItemCount"] = answer.remaining
    return metadata


def _joined_messages(answer: Listing, metadata: Obj) -> bytes:
    encoder, resource = kubernetes_encoder(), answer.resource
    items = [encoder.item(item.obj) for item in answer.items]
    return encoder.list_body(resource.api_version, resource.list_kind, metadata, items)


def json_parts(answer: Listing, metadata: Obj) -> tuple[bytes, ...]:
    """A list's JSON from its items' bytes, decoding none."""
    resource = answer.resource
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        resource.list_kind.encode(),
        resource.api_version.encode(),
        orjson.dumps(metadata),
    )
    if answer.kept is None:
        items = _joined(resource, answer.items)
    else:
        form = f"json {resource.api_version}"
        items = answer.kept.body(form, lambda: _joined(resource, answer.items))
    return (head, *items, b"]}\n")


def _joined(resource: Resource, objects: Sequence[Encoded]) -> tuple[bytes, ...]:
    """The items of a list, some in each part.

    Those of built-in kinds do not repeat the type, as upstream's typed lists do not; it stands
    first in every stored object, so it is cut off.
    """
    type_ = b'{"apiVersion":"%b","kind":"%b",' % (
        resource.api_version.encode(),
        resource.kind.encode(),
    )
    cut, separator = len(type_), b",{"
    if resource.custom or not all(item.data.startswith(type_) for item in objects):
        cut, separator = 0, b","
    parts = []
    for start in range(0, len(objects), OBJECTS_A_PART):
        some = [item.data[cut:] for item in objects[start : start + OBJECTS_A_PART]]
        parts.append((separator if start else separator[1:]) + separator.join(some))
    return tuple(parts)
