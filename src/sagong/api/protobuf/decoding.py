"""Protobuf bodies (``k8s\\0`` and a runtime.Unknown) to the JSON form of the object.

Values that Go would omit are dropped later, by ``checking.check``. Source of semantics:
apimachinery's ``runtime/serializer/protobuf``.
"""

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from sagong.api.protobuf.messages import (
    CHOICES,
    INLINE,
    LISTS,
    MAGIC,
    RAW,
    UNKNOWN,
    BadProtobuf,
    Messages,
)
from sagong.api.types import Obj

DEPTH_MAX = 100  # of nested messages; past it the body is refused


def decode(data: bytes, messages: Messages) -> Obj:
    """The object in a protobuf body. Raises BadProtobuf."""
    if not data.startswith(MAGIC):
        raise BadProtobuf("provided data does not appear to be a protobuf message")
    envelope = _read(memoryview(data)[4:], UNKNOWN, messages, 0)
    type_meta = envelope.get("typeMeta") or {}
    api_version, kind = type_meta.get("apiVersion", ""), type_meta.get("kind", "")
    obj = _read(
        memoryview(envelope.get("raw", b"")), messages.of_kind(api_version, kind), messages, 0
    )
    return {"apiVersion": api_version, "kind": kind, **obj}


def _read(data: memoryview, name: str, messages: Messages, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise BadProtobuf("message nested too deeply")
    fields = messages.named(name)
    found: Obj = {}
    short = name.rpartition(".")[2]
    for number, wire_type, value in _records(data):
        field = fields.get(number)
        if field is None:
            continue  # of a newer version: as if it had not been sent
        key, label, type_, value_type = field
        if label == "map":
            pair = _entry(value, type_, value_type, messages, depth)
            found.setdefault(key, {})[pair[0]] = pair[1]
        elif label == "repeated":
            items = found.setdefault(key, [])
            if wire_type == 2 and type_ in _VARINTS:
                items += [_scalar(v, type_) for v in _packed(value)]
            else:
                items.append(_value(value, type_, name, messages, depth))
        elif (short, key) in INLINE:
            found.update(_value(value, type_, name, messages, depth) or {})
        else:
            found[key] = _value(value, type_, name, messages, depth)
    return _converted(short, found)


_VARINTS = frozenset(("int32", "int64", "uint32", "uint64", "bool"))


def _value(value: Any, type_: str, parent: str, messages: Messages, depth: int) -> Any:
    if "." not in type_:
        decoded = _scalar(value, type_)
        if type_ == "bytes" and parent != UNKNOWN and not _holds_raw(parent):
            return base64.b64encode(decoded).decode()
        return decoded
    if not isinstance(value, memoryview):
        raise BadProtobuf(f"a message is not of bytes: {type_}")
    return _read(value, type_, messages, depth + 1)


def _holds_raw(message: str) -> bool:
    return message.rpartition(".")[2] in RAW


def _entry(
    value: Any, key_type: str, value_type: str, messages: Messages, depth: int
) -> tuple[str, Any]:
    if not isinstance(value, memoryview):
        raise BadProtobuf("a map entry is not of bytes")
    key: Any = ""
    found: Any = {} if "." in value_type else ""
    for number, _, part in _records(value):
        if number == 1:
            key = _scalar(part, key_type)
        elif number == 2:
            found = _value(part, value_type, "", messages, depth)
    return str(key), found


def _scalar(value: Any, type_: str) -> Any:
    if type_ in ("string", "bytes"):
        if not isinstance(value, memoryview):
            raise BadProtobuf("a string is not of bytes")
        data = value.tobytes()
        return data if type_ == "bytes" else _text(data)
    if type_ == "double":
        return struct.unpack("<d", value)[0] if isinstance(value, memoryview) else value
    if not isinstance(value, int):
        raise BadProtobuf(f"a number is not of type {type_}")
    if type_ == "bool":
        return value != 0
    if type_.startswith("int") and value >= 1 << 63:
        return value - (1 << 64)
    return value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadProtobuf("a string is not UTF-8") from error


def _converted(short: str, found: Obj) -> Any:
    """The JSON form of messages that stand for scalars or raw JSON."""
    if short in ("Time", "MicroTime"):
        return _time(found, micro=short == "MicroTime")
    if short == "Quantity":
        return found.get("string", "0")
    if short == "IntOrString":
        return found.get("strVal", "") if found.get("type") else found.get("intVal", 0)
    if short in RAW:
        raw = found.get("raw") or found.get("Raw")
        return orjson.loads(raw) if raw else None
    if short == "Duration":
        return f"{found.get('duration', 0) / 1e9:g}s"
    if short in LISTS:
        return found.get("items", [])
    if short in CHOICES:
        return _choice(short, found)
    return found


def _choice(short: str, found: Obj) -> Any:
    if found.get("schema") is not None:
        return found["schema"]
    if short == "JSONSchemaPropsOrBool":
        return found.get("allows", False)
    if short == "JSONSchemaPropsOrArray":
        return found.get("jSONSchemas", [])
    return found.get("property", [])


def _time(found: Obj, *, micro: bool) -> str | None:
    if not found.get("seconds") and not found.get("nanos"):
        return None
    moment = datetime.fromtimestamp(found.get("seconds", 0), UTC)
    if not micro:
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{found.get('nanos', 0) // 1000:06d}Z"


def _records(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Field number, wire type and raw value of each record of a message."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        value: Any
        if wire_type == 0:
            value, at = _varint(data, at)
        elif wire_type == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
            value, at = data[at : at + size], at + size
        else:
            raise BadProtobuf(f"proto: illegal wireType {wire_type}")
        if at > end:
            raise BadProtobuf("unexpected EOF")
        yield number, wire_type, value


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BadProtobuf("unexpected EOF")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
