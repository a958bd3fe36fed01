"""CEL's types of built-in kinds, from their published definitions.

Definitions refer to each other, and to themselves: the fields of a type are made when they are
first looked at.
"""

from collections.abc import Iterator, Mapping

from sagong.api.cel.schema_types import escape
from sagong.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    Kind,
    Type,
    list_of,
    map_of,
)
from sagong.api.schema import Kind as Shape
from sagong.api.schema import Node

_SCALARS = {
    Shape.STRING: STRING,
    Shape.INTEGER: INT,
    Shape.NUMBER: DOUBLE,
    Shape.BOOLEAN: BOOL,
    Shape.BYTES: BYTES,
    Shape.TIME: TIMESTAMP,
    Shape.MICRO_TIME: TIMESTAMP,
}


def type_of_node(node: Node, name: str) -> Type:
    """The type of what a node describes; dyn where anything goes."""
    if node.kind is Shape.OBJECT:
        if node.preserve_unknown and not node.fields:
            return DYN
        return Type(Kind.STRUCT, name, fields=_Fields(node, name))
    if node.kind is Shape.MAP and node.element is not None:
        return map_of(STRING, type_of_node(node.element, f"{name}.@elem"))
    if node.kind is Shape.ARRAY and node.element is not None:
        return list_of(type_of_node(node.element, f"{name}.@idx"))
    return _SCALARS.get(node.kind, DYN)


class _Fields(Mapping[str, Field]):
    """The fields of a node, by their own names and by those that expressions may have to use."""

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._name = name
        self._keys = {escape(key) or key: key for key in node.fields}
        self._keys.update({key: key for key in node.fields})

    def __getitem__(self, name: str) -> Field:
        key = self._keys[name]
        return Field(key, type_of_node(self._node.fields[key], f"{self._name}.{key}"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
