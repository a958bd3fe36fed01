"""The messages of the CRI (``runtime.v1``), built from their field numbers.

No generated code: ``runtime_v1.json`` lists names, numbers and types; the protobuf runtime makes
classes of them. ``make("ContainerConfig", ...)`` builds a message from keyword arguments.
"""

import importlib.resources
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.message import Message

PACKAGE = "runtime.v1"
_SCALARS = {
    "bool": Field.TYPE_BOOL,
    "bytes": Field.TYPE_BYTES,
    "double": Field.TYPE_DOUBLE,
    "float": Field.TYPE_FLOAT,
    "int32": Field.TYPE_INT32,
    "int64": Field.TYPE_INT64,
    "string": Field.TYPE_STRING,
    "uint32": Field.TYPE_UINT32,
    "uint64": Field.TYPE_UINT64,
}


@cache
def _facts() -> Any:
    return orjson.loads(
        importlib.resources.files(__package__).joinpath("runtime_v1.json").read_bytes()
    )


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    """A pool of our own: another library's ``runtime.v1`` in the default pool would collide."""
    file = descriptor_pb2.FileDescriptorProto(
        name="runtime_v1.proto", package=PACKAGE, syntax="proto3"
    )
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    for full_name in sorted(_facts()["messages"], key=lambda name: name.count(".")):
        name = full_name.removeprefix(PACKAGE + ".")
        outer, _, own = name.rpartition(".")
        container = messages[outer].nested_type if outer else file.message_type
        messages[name] = container.add(name=own)
    for full_name, values in _facts()["enums"].items():
        outer, _, own = full_name.removeprefix(PACKAGE + ".").rpartition(".")
        enum = (messages[outer] if outer else file).enum_type.add(name=own)
        _fill_enum(enum, values)
    for full_name, fields in _facts()["messages"].items():
        _fill_message(messages[full_name.removeprefix(PACKAGE + ".")], full_name, fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _fill_enum(enum: descriptor_pb2.EnumDescriptorProto, values: Mapping[str, int]) -> None:
    if len(set(values.values())) < len(values):
        enum.options.allow_alias = True
    for name, number in sorted(values.items(), key=lambda item: item[1]):
        enum.value.add(name=name, number=number)


def _fill_message(
    message: descriptor_pb2.DescriptorProto, full_name: str, fields: Mapping[str, list[Any]]
) -> None:
    for name, (number, shape, *rest) in sorted(fields.items(), key=lambda item: item[1][0]):
        field = message.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL)
        if shape == "map":
            entry = message.nested_type.add(name=_entry_name(name))
            entry.options.map_entry = True
            _set_type(entry.field.add(name="key", number=1, label=Field.LABEL_OPTIONAL), rest[0])
            _set_type(entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL), rest[1])
            field.label = Field.LABEL_REPEATED
            field.type = Field.TYPE_MESSAGE
            field.type_name = f".{full_name}.{entry.name}"
            continue
        if shape == "repeated":
            field.label = Field.LABEL_REPEATED
        _set_type(field, rest[0])


def _entry_name(field_name: str) -> str:
    """protoc's name of a map's entry type: the field's in CamelCase, then Entry."""
    return "".join(part[:1].upper() + part[1:] for part in field_name.split("_")) + "Entry"


def _set_type(field: Field, type_name: str) -> None:
    scalar = _SCALARS.get(type_name)
    if scalar is not None:
        field.type = scalar
        return
    field.type = Field.TYPE_ENUM if type_name in _facts()["enums"] else Field.TYPE_MESSAGE
    field.type_name = "." + type_name


@cache
def message_class(name: str) -> type[Message]:
    """The class of a message, as ``message_class("PodSandboxConfig")``. Raises KeyError."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


def make(name: str, **fields: Any) -> Any:
    """A message; nested messages may be given as dicts, and None means unset."""
    return message_class(name)(**{k: v for k, v in fields.items() if v is not None})


@cache
def enum_number(enum: str, value: str) -> int:
    """The number of an enum value: ``enum_number("NamespaceMode", "POD")``. Raises KeyError."""
    return int(_facts()["enums"][f"{PACKAGE}.{enum}"][value])


def methods(service: str) -> Mapping[str, tuple[str, str, str]]:
    """Method name -> request, response (short names) and the kind of stream, or ""."""
    listed = _facts()["services"][f"{PACKAGE}.{service}"]
    prefix = PACKAGE + "."
    return {
        name: (request.removeprefix(prefix), response.removeprefix(prefix), stream.strip())
        for name, (request, response, stream) in listed.items()
    }
