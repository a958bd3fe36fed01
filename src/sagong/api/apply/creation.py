"""Which fields the creator of an object owns, straight in wire form and in one pass.

What ``compute.compare`` finds between a kind's zero value and a new object, for the case that every
create is: nothing is removed and nobody owns anything yet, so no sets have to be built, united and
encoded. Each schema node is compiled once into a closure that gives the wire form of a value that
is new as a whole.
"""

from collections.abc import Callable, Collection
from typing import Any, cast

from sagong.api.apply.compute import ABSENT, UNKNOWN, is_associative, item_element
from sagong.api.checking import zero_value
from sagong.api.schema import Kind, Node
from sagong.api.types import Obj

# From a value that is new to the wire form of the fields in and below it.
Inserted = Callable[[Any], Obj]

# The wire form of a field with nothing below it; shared, as objects from a cache are.
LEAF: Obj = {}


def created_fields(
    new: Obj, node: Node, never: frozenset[str], never_of_metadata: frozenset[str]
) -> Obj:
    """``fieldsV1`` of the creator; {} if it owns nothing.

    ``never`` are top-level fields that are nobody's, with all below them, and
    ``never_of_metadata`` those of the metadata. Raises ValueError for items without their keys.
    """
    zero = _zero(node)
    fields: Obj = {}
    for name in sorted(new):
        if name == "metadata":
            continue
        wire = _changed(zero.get(name, ABSENT), new[name], node.field(name) or UNKNOWN)
        if wire is not None and name not in never:
            fields["f:" + name] = wire
    metadata = _metadata(new, zero, node, never_of_metadata)
    if metadata:
        fields["f:metadata"] = metadata
        return {element: fields[element] for element in sorted(fields)}
    return fields


def _zero(node: Node) -> Obj:
    """What an object of the kind is compared with; made once, never changed."""
    if node.zero is None:
        node.zero = zero_value(node) if node.go else {}
    return cast(Obj, node.zero)


def _metadata(new: Obj, zero: Obj, node: Node, never: Collection[str]) -> Obj:
    below = node.field("metadata") or UNKNOWN
    before = zero.get("metadata") or {}
    fields: Obj = {}
    for name in sorted(new["metadata"]):
        if name in never:
            continue
        at = below.field(name) or UNKNOWN
        wire = _changed(before.get(name, ABSENT), new["metadata"][name], at)
        if wire is not None:
            fields["f:" + name] = wire
    return fields


def _changed(before: Any, value: Any, node: Node) -> Obj | None:
    """The wire form of what is new in a value; None if nothing is.

    ``before`` is (part of) a zero value: its lists are empty.
    """
    if before is ABSENT:
        return inserted_of(node)(value)
    if node.go and before == value:
        return None
    if is_associative(node) and isinstance(value, list) and value and not before:
        return _items(value, node, {})
    if value is None and before and _is_granular(node, before):
        return None
    if _is_granular(node, value) and (value or before) and (before is None or type(before) is dict):
        fields: Obj = {}
        for name in sorted(value):
            at = node.field(name) or UNKNOWN
            wire = _changed((before or {}).get(name, ABSENT), value[name], at)
            if wire is not None:
                fields["f:" + name] = wire
        return fields or None
    return None if type(before) is type(value) and before == value else LEAF


def _is_granular(node: Node, value: Any) -> bool:
    if type(value) is not dict:
        return False
    if node.kind in (Kind.OBJECT, Kind.MAP):
        return node.map_type != "atomic"
    return node.kind is Kind.ANY and not node.go


def inserted_of(node: Node) -> Inserted:
    """The compiled closure of a node; compiled when first asked for."""
    if node.inserted is None:
        if is_associative(node):
            node.inserted = lambda value: _list(value, node)
        elif node.kind is Kind.OBJECT and node.map_type != "atomic":
            node.inserted = _struct(node)
        elif _is_granular(node, LEAF):
            node.inserted = lambda value: _map(value, node)
        else:
            node.inserted = _leaf
    return cast(Inserted, node.inserted)


def _leaf(value: Any) -> Obj:
    return LEAF


def _struct(node: Node) -> Inserted:
    """Of an object: each field's element and closure are looked up at once."""
    table: dict[str, tuple[str, Inserted]] = {}

    def run(value: Any) -> Obj:
        if not value or type(value) is not dict:
            return LEAF
        fields: Obj = {".": LEAF}
        for name in sorted(value):
            found = table.get(name)
            if found is None:
                known = node.fields.get(name)
                found = ("f:" + name, inserted_of(known or node.field(name) or UNKNOWN))
                if known is not None:  # names of the schema only: a client's are without bound
                    table[name] = found
            fields[found[0]] = found[1](value[name])
        return fields

    return run


def _map(value: Any, node: Node) -> Obj:
    if not value or type(value) is not dict:
        return LEAF
    fields: Obj = {".": LEAF}
    for name in sorted(value):
        fields["f:" + name] = inserted_of(node.field(name) or UNKNOWN)(value[name])
    return fields


def _list(value: Any, node: Node) -> Obj:
    if not value or not isinstance(value, list):
        return LEAF
    return _items(value, node, {".": LEAF})


def _items(value: list[Any], node: Node, fields: Obj) -> Obj:
    """Items by key, in the order of their keys; duplicates are one field."""
    run = inserted_of(node.element or UNKNOWN)
    index: dict[str, Any] = {}
    for item in value:
        element = item_element(node, item)
        index[element] = LEAF if element in index else run(item)
    for element in sorted(index):
        fields[element] = index[element]
    return fields
