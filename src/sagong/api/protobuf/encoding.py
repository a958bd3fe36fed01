"""The JSON form of an object to a protobuf body (``k8s\\0`` and a runtime.Unknown).

Each message's encoder is compiled once, on first use, to a table from JSON name to writer. Members
that a message does not have are left out, as a typed server never held them. Source of semantics:
apimachinery's ``runtime/serializer/protobuf`` (objects, lists, and watch streams' frames).
"""

import base64
import struct
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from sagong.api.protobuf.messages import CHOICES, INLINE, LISTS, MAGIC, META, RAW, Messages
from sagong.api.types import Obj
from sagong.core.durations import nanoseconds

_RAW_FIELD = b"\x0a"  # field 1, of bytes
_LIST_META = f"{META}ListMeta"
_MASK = (1 << 64) - 1

# Appends a field's tag and value to what is being written.
Writer = Callable[[bytearray, Any], None]
# The bytes of a message, without tag and length.
Encode = Callable[[Any], bytes]


class Encoder:
    """Encodes objects of the kinds that have a message."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._encoders: dict[str, Encode] = {}

    def body(self, obj: Obj) -> bytes:
        """An object with its type, as a body. Raises BadProtobuf if its kind has no message."""
        api_version, kind = obj["apiVersion"], obj["kind"]
        return _envelope(api_version, kind, self._of_kind(api_version, kind)(obj))

    def list_body(
        self, api_version: str, list_kind: str, metadata: Obj, items: Iterable[bytes]
    ) -> bytes:
        """A list of objects that are encoded already (``item``)."""
        out = bytearray()
        _put(out, 1, self._encoder(_LIST_META)(metadata))
        for item in items:
            _put(out, 2, item)
        return _envelope(api_version, list_kind, bytes(out))

    def item(self, obj: Obj) -> bytes:
        """An object as one item of a list, which does not repeat its type."""
        return self._of_kind(obj["apiVersion"], obj["kind"])(obj)

    def watch_frame(self, type_: str, obj: Obj) -> bytes:
        """One watch event as a frame: a length of four bytes, then a WatchEvent."""
        event = bytearray()
        _put(event, 1, type_.encode())
        _put(event, 2, _field(1, self.body(obj)))
        return struct.pack(">I", len(event)) + event

    def _of_kind(self, api_version: str, kind: str) -> Encode:
        return self._encoder(self._messages.of_kind(api_version, kind))

    def _encoder(self, name: str) -> Encode:
        found = self._encoders.get(name)
        if found is None:
            found = self._encoders[name] = self._compiled(name)
        return found

    def _compiled(self, name: str) -> Encode:
        short = name.rpartition(".")[2]
        special = _SPECIAL.get(short)
        if special is not None:
            return special
        if short in RAW:
            return _raw
        writers, inlined = self._writers(name, short)
        if short in LISTS:
            return _as_field("items", writers)
        if short in CHOICES:
            return _choice(short, writers)

        def encode(obj: Any) -> bytes:
            out = bytearray()
            for key, value in obj.items():
                if value is not None and (write := writers.get(key)) is not None:
                    write(out, value)
            for tag, part in inlined:
                if encoded := part(obj):
                    out += tag
                    _put_size(out, len(encoded))
                    out += encoded
            return bytes(out)

        return encode

    def _writers(
        self, name: str, short: str
    ) -> tuple[Mapping[str, Writer], list[tuple[bytes, Encode]]]:
        """Writers by JSON name, and the messages that share the parent's members."""
        writers: dict[str, Writer] = {}
        inlined = []
        for number, (key, label, type_, value_type) in self._messages.named(name).items():
            if (short, key) in INLINE:
                inlined.append((_tag(number, 2), self._encoder(type_)))
            elif label == "map":
                writers[key] = _map_writer(number, self._value_writer(2, value_type))
            elif label == "repeated":
                writers[key] = _repeated(self._value_writer(number, type_))
            else:
                writers[key] = self._value_writer(number, type_)
        return writers, inlined

    def _value_writer(self, number: int, type_: str) -> Writer:
        if "." not in type_:
            return _SCALARS[type_](number)
        tag = _tag(number, 2)
        encode: Encode | None = None

        def write(out: bytearray, value: Any) -> None:
            nonlocal encode
            if encode is None:  # only now: messages may hold themselves
                encode = self._encoder(type_)
            encoded = encode(value)
            out += tag
            _put_size(out, len(encoded))
            out += encoded

        return write


@cache  # the messages are constants; compiled encoders are worth keeping
def kubernetes_encoder() -> Encoder:
    """The encoder of the API's own messages."""
    return Encoder(Messages())


def _envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    """``runtime.Unknown``: the type, the object's bytes, and empty content type and encoding."""
    type_meta = _field(1, api_version.encode()) + _field(2, kind.encode())
    return b"".join([MAGIC, _field(1, type_meta), _field(2, raw), b"\x1a\x00\x22\x00"])


# Writing


def _tag(number: int, wire_type: int) -> bytes:
    out = bytearray()
    _put_size(out, number << 3 | wire_type)
    return bytes(out)


def _put_size(out: bytearray, value: int) -> None:
    """A number as a varint."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put(out: bytearray, number: int, data: bytes | bytearray) -> None:
    out += _tag(number, 2)
    _put_size(out, len(data))
    out += data


def _field(number: int, data: bytes) -> bytes:
    out = bytearray()
    _put(out, number, data)
    return bytes(out)


def _string_writer(number: int) -> Writer:
    tag = _tag(number, 2)

    def write(out: bytearray, value: Any) -> None:
        data = value.encode()
        out += tag
        _put_size(out, len(data))
        out += data

    return write


def _bytes_writer(number: int) -> Writer:
    return lambda out, value: _put(out, number, base64.b64decode(value))


def _number_writer(number: int) -> Writer:
    tag = _tag(number, 0)

    def write(out: bytearray, value: Any) -> None:
        out += tag
        _put_size(out, int(value) & _MASK)  # negative ones in two's complement, of ten bytes

    return write


def _double_writer(number: int) -> Writer:
    tag = _tag(number, 1)

    def write(out: bytearray, value: Any) -> None:
        out += tag
        out += struct.pack("<d", value)

    return write


_SCALARS: Mapping[str, Callable[[int], Writer]] = {
    "string": _string_writer,
    "bytes": _bytes_writer,
    "bool": _number_writer,
    "int32": _number_writer,
    "int64": _number_writer,
    "uint32": _number_writer,
    "uint64": _number_writer,
    "double": _double_writer,
}


def _repeated(write_one: Writer) -> Writer:
    def write(out: bytearray, values: Any) -> None:
        for value in values:
            write_one(out, value)

    return write


def _map_writer(number: int, write_value: Writer) -> Writer:
    write_key = _string_writer(1)

    def write(out: bytearray, value: Any) -> None:
        for key in sorted(value):  # as upstream, so that equal objects have equal bytes
            entry = bytearray()
            write_key(entry, key)
            if value[key] is not None:
                write_value(entry, value[key])
            _put(out, number, entry)

    return write


# Messages that JSON shows as something else


def _as_field(key: str, writers: Mapping[str, Writer]) -> Encode:
    def encode(value: Any) -> bytes:
        out = bytearray()
        writers[key](out, value)
        return bytes(out)

    return encode


def _choice(short: str, writers: Mapping[str, Writer]) -> Encode:
    simple = {
        "JSONSchemaPropsOrArray": "jSONSchemas",
        "JSONSchemaPropsOrBool": "allows",
        "JSONSchemaPropsOrStringArray": "property",
    }[short]

    def encode(value: Any) -> bytes:
        out = bytearray()
        if isinstance(value, dict):
            if simple == "allows":
                writers[simple](out, True)
            writers["schema"](out, value)
        else:
            writers[simple](out, value)
        return bytes(out)

    return encode


def _raw(value: Any) -> bytes:
    return _field(1, orjson.dumps(value))


def _time(value: Any) -> bytes:
    out = bytearray()
    moment = datetime.fromisoformat(value)
    _number_writer(1)(out, int(moment.timestamp()))
    if moment.microsecond:
        _number_writer(2)(out, moment.microsecond * 1000)
    return bytes(out)


def _quantity(value: Any) -> bytes:
    return _field(1, str(value).encode())


def _int_or_string(value: Any) -> bytes:
    out = bytearray()
    is_string = isinstance(value, str)
    _number_writer(1)(out, is_string)
    if is_string:
        _string_writer(3)(out, value)
    else:
        _number_writer(2)(out, value)
    return bytes(out)


def _duration(value: Any) -> bytes:
    out = bytearray()
    _number_writer(1)(out, nanoseconds(value))
    return bytes(out)


_SPECIAL: Mapping[str, Encode] = {
    "Time": _time,
    "MicroTime": _time,
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Duration": _duration,
}
