"""Which fields an object has, which differ between two, and objects without some of them.

The semantics are structured-merge-diff's ``ToFieldSet``, ``Compare`` and ``RemoveItems``: atomic
lists and maps are one field, sets go by value, map lists by key.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sagong.api.apply.fields import FieldSet, Path, field, item_key, item_value, show_path
from sagong.api.schema import Kind, Node

# What stands for a value that is not there, as opposed to null.
ABSENT: Any = object()

# Below an object of which nothing is known everything is granular, as in a deduced schema.
UNKNOWN = Node(Kind.ANY, go=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two objects differ."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet

    def without_below(self, ignored: FieldSet) -> "Comparison":
        return Comparison(
            self.added.without_below(ignored),
            self.modified.without_below(ignored),
            self.removed.without_below(ignored),
        )


def child_node(node: Node, name: str) -> Node:
    """The node of a field; an unknown one where the schema says nothing."""
    return node.field(name) or UNKNOWN


def is_granular_map(node: Node, value: Any) -> bool:
    """Is the value owned field by field?"""
    if node.kind in (Kind.OBJECT, Kind.MAP):
        return node.map_type != "atomic"
    return node.kind is Kind.ANY and not node.go and isinstance(value, dict)


def is_associative(node: Node) -> bool:
    """Is it a list whose items are owned one by one?"""
    return node.kind is Kind.ARRAY and node.list_type in ("set", "map")


def item_element(node: Node, item: Any) -> str:
    """The path element of a list's item; ValueError with upstream's text if it has no keys."""
    if node.list_type == "set":
        return item_value(item)
    if not isinstance(item, dict):
        raise ValueError("associative list with keys may not contain non-map elements")
    defaults = node.element.key_defaults if node.element is not None else {}
    keys = {}
    for name in node.list_map_keys:
        if name in item and item[name] is not None:
            keys[name] = item[name]
        elif name in defaults:
            keys[name] = defaults[name]
        elif item.get(name, ABSENT) is None:
            keys[name] = None
    if not keys:
        names = ", ".join(f'"{k}"' for k in node.list_map_keys)
        raise ValueError(
            f"associative list with keys has an element that omits key field {names} "
            "(and doesn't have default value)"
        )
    return item_key(keys)


def type_problems(value: Any, node: Node, path: Path = ()) -> Iterator[str]:
    """Why a configuration is none of its kind, in the words of typed values' validation."""
    if node.kind is Kind.ARRAY and isinstance(value, list):
        seen = set()
        for i, item in enumerate(value):
            element = f"i:{i}"
            if is_associative(node):
                try:
                    element = item_element(node, item)
                except ValueError as e:
                    yield f"{show_path(path)}: element {i}: {e}"
                    continue
                if element in seen:
                    yield f"{show_path(path)}: duplicate entries for key {show_path((element,))}"
                seen.add(element)
            yield from type_problems(item, node.element or UNKNOWN, (*path, element))
    elif node.kind in (Kind.OBJECT, Kind.MAP) and isinstance(value, dict):
        for name, item in value.items():
            at = (*path, field(name))
            below = node.field(name)
            if below is None and not node.preserve_unknown:
                yield f"{show_path(at)}: field not declared in schema"
            else:
                yield from type_problems(item, below or UNKNOWN, at)


def field_set(obj: Any, node: Node) -> FieldSet:
    """The fields of a configuration (``ToFieldSet``). ValueError if list items have no keys."""
    found = FieldSet()
    _collect(obj, node, (), found)
    return found


def _collect(value: Any, node: Node, path: Path, found: FieldSet) -> None:
    if is_associative(node) and isinstance(value, list):
        for item in value:
            at = (*path, item_element(node, item))
            _collect(item, node.element or UNKNOWN, at, found)
            found.add(at)
    elif is_granular_map(node, value) and (isinstance(value, dict) or value is None):
        for name, item in (value or {}).items():
            at = (*path, field(name))
            _collect(item, child_node(node, name), at, found)
            if item is None or item == {} or name not in node.fields:
                found.add(at)
    elif not (is_associative(node) and value is None):
        found.add(path)


def compare(old: Any, new: Any, node: Node) -> Comparison:
    """How ``new`` differs from ``old`` (``Compare``). ValueError if list items have no keys."""
    result = Comparison(FieldSet(), FieldSet(), FieldSet())
    if is_granular_map(node, new) and isinstance(old, dict) and isinstance(new, dict):
        _compare_maps(old, new, node, result)
    return result


def _compare(old: Any, new: Any, node: Node, element: str, result: Comparison) -> None:
    """Compare what ``element`` names on both sides; ``result`` is that of its parent."""
    if old is new:
        return
    if old is ABSENT:
        _insert(result.added, element, new, node)
    elif new is ABSENT:
        _insert(result.removed, element, old, node)
    elif node.go and old == new:
        return  # in C; of Go's types no two values are equal but for their type
    elif is_associative(node) and _are(list, old, new):
        _descend(_compare_items, (old or [], new or []), node, element, result)
    elif is_granular_map(node, new) and _are(dict, old, new):
        _descend(_compare_maps, (old or {}, new or {}), node, element, result)
    elif not _equal(old, new):
        result.modified.members.add(element)


def _descend(
    compare_children: Callable[[Any, Any, Node, Comparison], None],
    pair: tuple[Any, Any],
    node: Node,
    element: str,
    result: Comparison,
) -> None:
    below = Comparison(FieldSet(), FieldSet(), FieldSet())
    compare_children(*pair, node, below)
    if below.added:
        result.added.children[element] = below.added
    if below.modified:
        result.modified.children[element] = below.modified
    if below.removed:
        result.removed.children[element] = below.removed


def _insert(into: FieldSet, element: str, value: Any, node: Node) -> None:
    """All of a value that is on one side only, itself included."""
    into.members.add(element)
    if not value:
        return
    if is_associative(node) and isinstance(value, list):
        below = into.children[element] = FieldSet()
        for key, items in _indexed(value, node).items():
            if len(items) > 1:
                below.members.add(key)
            else:
                _insert(below, key, items[0], node.element or UNKNOWN)
    elif is_granular_map(node, value) and isinstance(value, dict):
        below = into.children[element] = FieldSet()
        for name, item in value.items():
            _insert(below, "f:" + name, item, child_node(node, name))


def _compare_maps(old: Any, new: Any, node: Node, result: Comparison) -> None:
    for name, value in new.items():
        before = old.get(name, ABSENT)
        if before is not value:
            _compare(before, value, child_node(node, name), "f:" + name, result)
    for name, value in old.items():
        if name not in new:
            _compare(value, ABSENT, child_node(node, name), "f:" + name, result)


def _compare_items(old: Any, new: Any, node: Node, result: Comparison) -> None:
    before, after = _indexed(old, node), _indexed(new, node)
    element = node.element or UNKNOWN
    for key in dict.fromkeys([*before, *after]):
        mine, theirs = before.get(key, []), after.get(key, [])
        if len(mine) > 1 or len(theirs) > 1:  # duplicates are one field, compared as a whole
            _compare(mine or ABSENT, theirs or ABSENT, UNKNOWN, key, result)
        else:
            left = mine[0] if mine else ABSENT
            _compare(left, theirs[0] if theirs else ABSENT, element, key, result)


def _indexed(items: list[Any], node: Node) -> dict[str, list[Any]]:
    index: dict[str, list[Any]] = {}
    for item in items:
        index.setdefault(item_element(node, item), []).append(item)
    return index


def _are(kind: type, old: Any, new: Any) -> bool:
    """Are both such containers or null, and is at least one not empty?"""
    fit = all(v is None or isinstance(v, kind) for v in (old, new))
    return fit and bool(old or new)


def _equal(old: Any, new: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(old, bool) is not isinstance(new, bool):
        return False
    return bool(old == new)


def named_fields(found: FieldSet, node: Node | None) -> FieldSet:
    """With every struct field on the way as a member (``EnsureNamedFieldsAreMembers``)."""
    new = FieldSet()
    new.members = set(found.members)
    for element, child in found.children.items():
        below = None
        if node is not None:
            name = element[2:]
            if element.startswith("f:"):
                if name in node.fields:
                    new.members.add(element)
                below = node.field(name)
            else:
                below = node.element
        new.children[element] = named_fields(child, below)
    return new


def without(value: Any, removed: FieldSet, node: Node) -> Any:
    """The value without the fields of a set (``RemoveItems``); the input is not changed.

    What a removal leaves empty is null where Go reads it (which is absent), else empty.
    """
    if is_associative(node) and isinstance(value, list):
        items = []
        for item in value:
            element = item_element(node, item)
            if element in removed.members:
                continue
            below = removed.children.get(element)
            items.append(without(item, below, node.element or UNKNOWN) if below else item)
        return items or (None if node.go else [])
    if is_granular_map(node, value) and isinstance(value, dict):
        fields = {}
        for name, item in value.items():
            element = field(name)
            if element in removed.members:
                continue
            below = removed.children.get(element)
            fields[name] = without(item, below, child_node(node, name)) if below else item
        return fields or (None if node.go else {})
    return value
