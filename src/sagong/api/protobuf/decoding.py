"""Protobuf bodies (``k8s\\0`` and a runtime.Unknown) to the JSON form of the object.

Go's messages differ from the JSON form in a few places: inlined structs are messages of their own,
and times, quantities, int-or-strings and raw JSON have messages. Values that Go would omit are
dropped later, by ``checking.check``. Source of semantics: apimachinery's
``runtime/serializer/protobuf`` and the generated ``generated.proto`` files.
"""

import base64
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import orjson

from sagong.api.types import Obj

MAGIC = b"k8s\0"
DEPTH_MAX = 100  # of nested messages; past it the body is refused
_UNKNOWN = "k8s.io.apimachinery.pkg.runtime.Unknown"
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."

# Go structs that JSON shows inline, by message and field: their fields join the parent's.
_INLINE = frozenset(
    {
        ("Volume", "volumeSource"),
        ("PersistentVolumeSpec", "persistentVolumeSource"),
        ("Probe", "handler"),
        ("EphemeralContainer", "ephemeralContainerCommon"),
        ("ConfigMapEnvSource", "localObjectReference"),
        ("ConfigMapKeySelector", "localObjectReference"),
        ("ConfigMapProjection", "localObjectReference"),
        ("ConfigMapVolumeSource", "localObjectReference"),
        ("SecretEnvSource", "localObjectReference"),
        ("SecretKeySelector", "localObjectReference"),
        ("SecretProjection", "localObjectReference"),
        ("RuleWithOperations", "rule"),
        ("NamedRuleWithOperations", "ruleWithOperations"),
        ("IngressRule", "ingressRuleValue"),
        ("DeviceAllocationConfiguration", "deviceConfiguration"),
        ("DeviceClaimConfiguration", "deviceConfiguration"),
        ("DeviceClassConfiguration", "deviceConfiguration"),
    }
)
# Fields whose JSON name is another one.
_RENAMED = {
    ("MutatingWebhookConfiguration", "Webhooks"): "webhooks",
    ("ValidatingWebhookConfiguration", "Webhooks"): "webhooks",
    ("Validation", "Expression"): "expression",
    ("Variable", "Expression"): "expression",
    ("Variable", "Name"): "name",
    ("BoundObjectReference", "uID"): "uid",
    ("IngressClassParametersReference", "aPIGroup"): "apiGroup",
    ("JSONSchemaProps", "ref"): "$ref",
    ("JSONSchemaProps", "schema"): "$schema",
    ("JSONSchemaProps", "xKubernetesEmbeddedResource"): "x-kubernetes-embedded-resource",
    ("JSONSchemaProps", "xKubernetesIntOrString"): "x-kubernetes-int-or-string",
    ("JSONSchemaProps", "xKubernetesListMapKeys"): "x-kubernetes-list-map-keys",
    ("JSONSchemaProps", "xKubernetesListType"): "x-kubernetes-list-type",
    ("JSONSchemaProps", "xKubernetesMapType"): "x-kubernetes-map-type",
    ("JSONSchemaProps", "xKubernetesPreserveUnknownFields"): "x-kubernetes-preserve-unknown-fields",
    ("JSONSchemaProps", "xKubernetesValidations"): "x-kubernetes-validations",
}

Fields = Mapping[int, tuple[str, str, str, str]]


class BadProtobuf(ValueError):
    """The bytes are not what they claim to be."""


class Messages:
    """The messages of the API by full name; from field number to name, label and type."""

    def __init__(self) -> None:
        text = files("sagong.api.protobuf").joinpath("messages.json").read_bytes()
        self._raw: Mapping[str, Mapping[str, list[Any]]] = orjson.loads(text)["messages"]
        self._by_kind: dict[tuple[str, str], str] = {}
        self._fields: dict[str, Fields] = {}

    def named(self, name: str) -> Fields:
        """The fields of a message. Raises BadProtobuf if there is none."""
        fields = self._fields.get(name)
        if fields is None:
            raw = self._raw.get(name)
            if raw is None:
                raise BadProtobuf(f"no such message: {name}")
            short = name.rpartition(".")[2]
            fields = self._fields[name] = {
                f[0]: (
                    _RENAMED.get((short, field), field),
                    f[1],
                    f[2],
                    f[3] if f[1] == "map" else "",
                )
                for field, f in raw.items()
            }
        return fields

    def of_kind(self, api_version: str, kind: str) -> str:
        """The message of a kind. Raises BadProtobuf if there is none."""
        group, _, version = api_version.rpartition("/")
        for package in _packages(group, version):
            name = f"{package}.{kind}"
            if name in self._raw:
                return name
        raise BadProtobuf(f'no kind "{kind}" is registered for version "{api_version}"')


def _packages(group: str, version: str) -> list[str]:
    if kind_group := _SPECIAL_PACKAGES.get(group):
        return [f"{kind_group}.{version}"]
    short = group.partition(".")[0] or "core"
    return [f"k8s.io.api.{short}.{version}", f"k8s.io.apimachinery.pkg.apis.meta.{version}"]


_SPECIAL_PACKAGES = {
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "k8s.io.kube_aggregator.pkg.apis.apiregistration",
    "rbac.authorization.k8s.io": "k8s.io.api.rbac",
    "flowcontrol.apiserver.k8s.io": "k8s.io.api.flowcontrol",
    "meta.k8s.io": "k8s.io.apimachinery.pkg.apis.meta",
}


def decode(data: bytes, messages: Messages) -> Obj:
    """The object in a protobuf body. Raises BadProtobuf."""
    if not data.startswith(MAGIC):
        raise BadProtobuf("provided data does not appear to be a protobuf message")
    envelope = _read(memoryview(data)[4:], _UNKNOWN, messages, 0)
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
        elif (short, key) in _INLINE:
            found.update(_value(value, type_, name, messages, depth) or {})
        else:
            found[key] = _value(value, type_, name, messages, depth)
    return _converted(short, found)


_VARINTS = frozenset(("int32", "int64", "uint32", "uint64", "bool"))


def _value(value: Any, type_: str, parent: str, messages: Messages, depth: int) -> Any:
    if "." not in type_:
        decoded = _scalar(value, type_)
        if type_ == "bytes" and parent != _UNKNOWN and not _holds_raw(parent):
            return base64.b64encode(decoded).decode()
        return decoded
    if not isinstance(value, memoryview):
        raise BadProtobuf(f"a message is not of bytes: {type_}")
    return _read(value, type_, messages, depth + 1)


def _holds_raw(message: str) -> bool:
    return message.rpartition(".")[2] in ("RawExtension", "FieldsV1", "JSON")


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
    if short in ("RawExtension", "FieldsV1", "JSON"):
        raw = found.get("raw") or found.get("Raw")
        return orjson.loads(raw) if raw else None
    if short == "Duration":
        return f"{found.get('duration', 0) / 1e9:g}s"
    if short in ("Verbs", "ExtraValue") or (set(found) == {"items"} and short in _LISTS):
        return found.get("items", [])
    if short in _CHOICES:
        return _choice(short, found)
    return found


_LISTS = frozenset(("OptionalVerbs", "PodResourceClaimStatuses"))
_CHOICES = frozenset(
    ("JSONSchemaPropsOrBool", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrStringArray")
)


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
