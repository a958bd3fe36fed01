"""Protobuf messages without generated code: a table of names, numbers and types becomes classes.

A table is JSON of three parts, as published ``.proto`` files say them:

    messages: full name -> {field: [number, "one" | "repeated", type]}
                           {field: [number, "map", key type, value type]}
    enums:    full name -> {value: number}
    services: full name -> {method: [request, response, kind of stream or ""]}

Only messages of the table's own package can be types of fields.
"""

import importlib.resources
from collections.abc import Mapping
from typing import Any

import orjson
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.message import Message

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


class MessageSet:
    """The messages, enums and services of one package.

    It has a pool of its own: another library's package of the same name would collide in the
    default one.
    """

    def __init__(self, package: str, facts: Mapping[str, Any]) -> None:
        self.package = package
        self._facts = facts
        self._pool = self._make_pool()
        self._classes: dict[str, type[Message]] = {}

    @classmethod
    def load(cls, package: str, beside: str, file: str) -> "MessageSet":
        """From a JSON file in a Python package (``__package__``)."""
        path = importlib.resources.files(beside).joinpath(file)
        return cls(package, orjson.loads(path.read_bytes()))

    def message_class(self, name: str) -> type[Message]:
        """The class of a message by its short name. Raises KeyError."""
        found = self._classes.get(name)
        if found is None:
            descriptor = self._pool.FindMessageTypeByName(f"{self.package}.{name}")
            found = self._classes[name] = message_factory.GetMessageClass(descriptor)
        return found

    def make(self, name: str, /, **fields: Any) -> Any:
        """A message; nested messages may be given as dicts, and None means unset."""
        return self.message_class(name)(**{k: v for k, v in fields.items() if v is not None})

    def enum_number(self, enum: str, value: str) -> int:
        """``enum_number("NamespaceMode", "POD")``. Raises KeyError."""
        return int(self._facts["enums"][f"{self.package}.{enum}"][value])

    def methods(self, service: str) -> Mapping[str, tuple[str, str, str]]:
        """Method name -> request, response (short names) and the kind of stream, or ""."""
        return {
            name: (self._short(request), self._short(response), stream.strip())
            for name, (request, response, stream) in self._facts["services"][
                f"{self.package}.{service}"
            ].items()
        }

    def _short(self, full_name: str) -> str:
        return full_name.removeprefix(self.package + ".")

    def _make_pool(self) -> descriptor_pool.DescriptorPool:
        file = descriptor_pb2.FileDescriptorProto(
            name=f"{self.package}.proto", package=self.package, syntax="proto3"
        )
        messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        for full_name in sorted(self._facts["messages"], key=lambda name: name.count(".")):
            name = self._short(full_name)
            outer, _, own = name.rpartition(".")
            container = messages[outer].nested_type if outer else file.message_type
            messages[name] = container.add(name=own)
        for full_name, values in self._facts["enums"].items():
            outer, _, own = self._short(full_name).rpartition(".")
            enum = (messages[outer] if outer else file).enum_type.add(name=own)
            _fill_enum(enum, values)
        for full_name, fields in self._facts["messages"].items():
            self._fill_message(messages[self._short(full_name)], full_name, fields)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        return pool

    def _fill_message(
        self,
        message: descriptor_pb2.DescriptorProto,
        full_name: str,
        fields: Mapping[str, list[Any]],
    ) -> None:
        for name, (number, shape, *rest) in sorted(fields.items(), key=lambda item: item[1][0]):
            field = message.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL)
            if shape == "map":
                entry = message.nested_type.add(name=_entry_name(name))
                entry.options.map_entry = True
                for part, part_type in zip(("key", "value"), rest, strict=True):
                    added = entry.field.add(name=part, label=Field.LABEL_OPTIONAL)
                    added.number = 1 if part == "key" else 2
                    self._set_type(added, part_type)
                field.label = Field.LABEL_REPEATED
                field.type = Field.TYPE_MESSAGE
                field.type_name = f".{full_name}.{entry.name}"
                continue
            if shape == "repeated":
                field.label = Field.LABEL_REPEATED
            self._set_type(field, rest[0])

    def _set_type(self, field: Field, type_name: str) -> None:
        scalar = _SCALARS.get(type_name)
        if scalar is not None:
            field.type = scalar
            return
        is_enum = type_name in self._facts["enums"]
        field.type = Field.TYPE_ENUM if is_enum else Field.TYPE_MESSAGE
        field.type_name = "." + type_name


def _fill_enum(enum: descriptor_pb2.EnumDescriptorProto, values: Mapping[str, int]) -> None:
    if len(set(values.values())) < len(values):
        enum.options.allow_alias = True
    for name, number in sorted(values.items(), key=lambda item: item[1]):
        enum.value.add(name=name, number=number)


def _entry_name(field_name: str) -> str:
    """protoc's name of a map's entry type: the field's in CamelCase, then Entry."""
    return "".join(part[:1].upper() + part[1:] for part in field_name.split("_")) + "Entry"
