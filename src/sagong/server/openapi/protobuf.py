"""The v2 document as protobuf (gnostic's ``openapi.v2.Document``), as kubectl and Helm ask for it.

Field numbers are those of gnostic's ``openapiv2/OpenAPIv2.proto``. Whatever may hold any value is
written as YAML text, of which JSON is some.
"""

import struct
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

import orjson

from sagong.api.types import Obj

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# What older clients call it.
MEDIA_TYPES = (MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")

_BYTES, _FIXED64, _VARINT = 2, 1, 0
Write = Callable[[Any], bytes]  # a value with its tag
Table = Mapping[str, Write]


def encode(document: Obj, known: dict[str, bytes], lasting: Container[str]) -> bytes:
    """A whole document.

    ``known`` keeps the encoded form of paths and definitions that are ``lasting``: most never
    change, and encoding them takes longer than all that happens to a document in its life.
    """

    def kept(write: Write) -> Callable[[str, Any], bytes]:
        def pair(name: str, value: Any) -> bytes:
            data = known.get(name)
            if data is None:
                data = _named(name, write(value))
                if name in lasting:
                    known[name] = data
            return data

        return pair

    path, schema = kept(_path), kept(_schema)
    paths = b"".join(_block(2, path(n, item)) for n, item in document["paths"].items())
    schemas = b"".join(_block(1, schema(n, d)) for n, d in document["definitions"].items())
    return _message(document, _DOCUMENT) + _block(8, paths) + _block(9, schemas)


def _message(value: Obj, table: Table, extensions: int = 0) -> bytes:
    """The fields that the message has; ``x-`` members under the number ``extensions``."""
    out = bytearray()
    for name, inner in value.items():
        write = table.get(name)
        if write is not None:
            out += write(inner)
        elif extensions and name.startswith("x-"):
            out += _block(extensions, _named(name, _any(inner)))
    return bytes(out)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _block(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _named(name: str, value: bytes) -> bytes:
    """A pair of a map that keeps its order."""
    return _block(1, name.encode()) + _block(2, value)


def _any(value: Any) -> bytes:
    return _block(2, orjson.dumps(value) + b"\n")


# Writers of single fields


def _text(number: int) -> Write:
    return lambda value: _block(number, str(value).encode())


def _texts(number: int) -> Write:
    return lambda values: b"".join(_block(number, str(v).encode()) for v in values)


def _flag(number: int) -> Write:
    return lambda value: _varint(number << 3 | _VARINT) + b"\x01" if value else b""


def _whole(number: int) -> Write:
    return lambda value: _varint(number << 3 | _VARINT) + _varint(int(value))


def _real(number: int) -> Write:
    return lambda value: _varint(number << 3 | _FIXED64) + struct.pack("<d", value)


def _anything(number: int) -> Write:
    return lambda value: _block(number, _any(value))


def _anythings(number: int) -> Write:
    return lambda values: b"".join(_block(number, _any(v)) for v in values)


def _one(number: int, inner: Write) -> Write:
    return lambda value: _block(number, inner(value))


def _each(number: int, inner: Write) -> Write:
    return lambda values: b"".join(_block(number, inner(v)) for v in values)


def _pairs(number: int, inner: Write) -> Write:
    """A map, each of whose entries is a pair under the number."""
    return lambda found: b"".join(_block(number, _named(k, inner(v))) for k, v in found.items())


# Messages


def _schema(schema: Obj) -> bytes:
    return _message(schema, _SCHEMA, 31)


def _schemas(found: Mapping[str, Obj]) -> bytes:
    return _pairs(1, _schema)(found)


def _type(value: Any) -> bytes:
    return _texts(1)([value] if isinstance(value, str) else value)


def _items(value: Any) -> bytes:
    return _each(1, _schema)(value if isinstance(value, list) else [value])


def _additional(value: Any) -> bytes:
    return _flag(2)(value) if isinstance(value, bool) else _block(1, _schema(value))


def _checks(first: int) -> dict[str, Write]:
    """The fields that schemas and parameters share, numbered in a row from ``default`` on."""
    names: Iterable[tuple[str, Callable[[int], Write]]] = (
        ("default", _anything),
        ("maximum", _real),
        ("exclusiveMaximum", _flag),
        ("minimum", _real),
        ("exclusiveMinimum", _flag),
        ("maxLength", _whole),
        ("minLength", _whole),
        ("pattern", _text),
        ("maxItems", _whole),
        ("minItems", _whole),
        ("uniqueItems", _flag),
        ("enum", _anythings),
        ("multipleOf", _real),
    )
    return {name: make(first + i) for i, (name, make) in enumerate(names)}


def _parameter(parameter: Obj) -> bytes:
    """A ``ParametersItem``."""
    if "$ref" in parameter:
        return _block(2, _text(1)(parameter["$ref"]))
    place = parameter["in"]
    if place == "body":
        return _block(1, _block(1, _message(parameter, _BODY, 6)))
    number, table, extensions = _PLACES[place]
    return _block(1, _block(2, _block(number, _message(parameter, table, extensions))))


def _response(response: Obj) -> bytes:
    """A ``ResponseValue``."""
    return _block(1, _message(response, _RESPONSE, 5))


def _operation(operation: Obj) -> bytes:
    return _message(operation, _OPERATION, 13)


def _path(item: Obj) -> bytes:
    return _message(item, _PATH, 10)


def _security_definition(definition: Obj) -> bytes:
    """Keys and basic authentication; others are not published."""
    if definition.get("type") == "basic":
        return _block(1, _message(definition, {"type": _text(1), "description": _text(2)}))
    return _block(2, _message(definition, _API_KEY))


def _requirement(requirement: Mapping[str, list[str]]) -> bytes:
    return _pairs(1, _texts(1))(requirement)


_SCHEMA: Table = {
    "$ref": _text(1),
    "format": _text(2),
    "title": _text(3),
    "description": _text(4),
    "default": _anything(5),
    "multipleOf": _real(6),
    "maximum": _real(7),
    "exclusiveMaximum": _flag(8),
    "minimum": _real(9),
    "exclusiveMinimum": _flag(10),
    "maxLength": _whole(11),
    "minLength": _whole(12),
    "pattern": _text(13),
    "maxItems": _whole(14),
    "minItems": _whole(15),
    "uniqueItems": _flag(16),
    "maxProperties": _whole(17),
    "minProperties": _whole(18),
    "required": _texts(19),
    "enum": _anythings(20),
    "additionalProperties": _one(21, _additional),
    "type": _one(22, _type),
    "items": _one(23, _items),
    "allOf": _each(24, _schema),
    "properties": _one(25, _schemas),
    "discriminator": _text(26),
    "readOnly": _flag(27),
    "example": _anything(30),
}
_BODY: Table = {
    "description": _text(1),
    "name": _text(2),
    "in": _text(3),
    "required": _flag(4),
    "schema": _one(5, _schema),
}
_COMMON: Table = {
    "required": _flag(1),
    "in": _text(2),
    "description": _text(3),
    "name": _text(4),
}
_WITH_EMPTY: Table = {
    **_COMMON,
    "allowEmptyValue": _flag(5),
    "type": _text(6),
    "format": _text(7),
    "collectionFormat": _text(9),
    **_checks(10),
}
_WITHOUT_EMPTY: Table = {
    **_COMMON,
    "type": _text(5),
    "format": _text(6),
    "collectionFormat": _text(8),
    **_checks(9),
}
# By where a parameter stands: the number of its message, its fields, and that of its extensions.
_PLACES: Mapping[str, tuple[int, Table, int]] = {
    "header": (1, _WITHOUT_EMPTY, 22),
    "formData": (2, _WITH_EMPTY, 23),
    "query": (3, _WITH_EMPTY, 23),
    "path": (4, _WITHOUT_EMPTY, 22),
}
_RESPONSE: Table = {
    "description": _text(1),
    "schema": _one(2, lambda schema: _block(1, _schema(schema))),
}
_OPERATION: Table = {
    "tags": _texts(1),
    "summary": _text(2),
    "description": _text(3),
    "operationId": _text(5),
    "produces": _texts(6),
    "consumes": _texts(7),
    "parameters": _each(8, _parameter),
    "responses": _one(9, _pairs(1, _response)),
    "schemes": _texts(10),
    "deprecated": _flag(11),
    "security": _each(12, _requirement),
}
_PATH: Table = {
    "$ref": _text(1),
    "get": _one(2, _operation),
    "put": _one(3, _operation),
    "post": _one(4, _operation),
    "delete": _one(5, _operation),
    "options": _one(6, _operation),
    "head": _one(7, _operation),
    "patch": _one(8, _operation),
    "parameters": _each(9, _parameter),
}
_API_KEY: Table = {
    "type": _text(1),
    "name": _text(2),
    "in": _text(3),
    "description": _text(4),
}
_DOCUMENT: Table = {
    "swagger": _text(1),
    "info": _one(2, lambda info: _message(info, {"title": _text(1), "version": _text(2)})),
    "security": _each(12, _requirement),
    "securityDefinitions": _one(13, _pairs(1, _security_definition)),
}
