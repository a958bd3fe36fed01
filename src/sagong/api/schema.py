"""What a kind's fields are: compiled from the published definitions or from a CRD's schema.

The definitions are those that upstream publishes (with their ``x-kubernetes-*`` extensions), as the
package ``kubernetes-validate`` ships them; nothing of them is typed in here except the few facts
about Go's types that OpenAPI cannot express (``gotypes.py``).
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from sagong.api import gotypes
from sagong.api.types import Obj

KUBERNETES_VERSION = "v1.36.0"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_OBJECT_META = _META + "ObjectMeta"


class Kind(StrEnum):
    """What JSON value a node stands for, and which Go type reads it."""

    OBJECT = "object"
    MAP = "map"
    ARRAY = "array"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ANY = "any"
    QUANTITY = "quantity"
    INT_OR_STRING = "int-or-string"
    TIME = "time"
    MICRO_TIME = "micro-time"
    BYTES = "bytes"


class Node:
    """One compiled schema node. Shared and immutable once built.

    ``go`` tells whether a Go struct reads the value (built-in kinds: empty values of omitempty
    fields vanish, wrong types fail to decode) or it stays unstructured (custom resources).
    """

    __slots__ = (
        "checker", "element", "embedded", "fields", "format", "go", "inserted", "key_defaults",
        "kind", "list_map_keys", "list_type", "map_type", "merge_key", "name", "nullable",
        "patch_strategies", "preserve_unknown", "required", "struct_fields", "vanishing", "zero",
        "zeros",
    )  # fmt: skip

    def __init__(
        self, kind: Kind, *, name: str = "", go: bool = True, element: "Node | None" = None
    ) -> None:
        self.kind = kind
        self.name = name
        self.go = go
        self.format = ""
        # What ``checking`` and ``apply.creation`` made of this node, once they have.
        self.checker: Any = None
        self.inserted: Any = None
        self.zero: Any = None
        # Of an object: its fields; of a map or array: the node of its values.
        self.fields: dict[str, Node] = {}
        self.element = element
        # "atomic", "set" or "map"; what server-side apply merges by.
        self.list_type = "atomic"
        self.list_map_keys: tuple[str, ...] = ()
        # Of an object used as item of a map list: the values of absent keys.
        self.key_defaults: dict[str, Any] = {}
        # "granular" or "atomic".
        self.map_type = "granular"
        # Strategic merge patch: the key of list items, and of "merge", "replace", "retainKeys".
        self.merge_key = ""
        self.patch_strategies: frozenset[str] = frozenset()
        self.preserve_unknown = False
        self.embedded = False
        self.nullable = False
        self.required: frozenset[str] = frozenset()
        # Fields that are Go structs by value: never absent in an answer, at least {}.
        self.struct_fields: tuple[str, ...] = ()
        # Other fields that are never absent, and the value that they have when not set.
        self.zeros: dict[str, Any] = {}
        # Fields that are not written when empty ("", 0, false, [], {}).
        self.vanishing: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Node({self.kind}, {self.name or sorted(self.fields)})"

    @property
    def type_name(self) -> str:
        """The last part of the definition's name, which is the Go type's: ``PodSpec``."""
        return self.name.rpartition(".")[2]

    def field(self, name: str) -> "Node | None":
        """The node below an object or a map; None if nothing is known of it."""
        known = self.fields.get(name)
        if known is not None:
            return known
        return self.element if self.kind is not Kind.ARRAY else None

    @property
    def is_atomic(self) -> bool:
        """Does server-side apply own the value as a whole?"""
        if self.kind is Kind.ARRAY:
            return self.list_type == "atomic"
        if self.kind in (Kind.OBJECT, Kind.MAP):
            return self.map_type == "atomic"
        return self.kind is not Kind.ANY

    def copy(self) -> "Node":
        """A node with attributes of its own; fields are shared (they may still be filled)."""
        new = Node.__new__(Node)
        for slot in Node.__slots__:
            setattr(new, slot, getattr(self, slot))
        return new


# `+default` markers of fields that are keys of map lists; OpenAPI v2 drops them.
_KEY_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "io.k8s.api.core.v1.ContainerPort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.ServicePort": {"protocol": "TCP"},
}

_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Kind.QUANTITY,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Kind.INT_OR_STRING,
    _META + "Time": Kind.TIME,
    _META + "MicroTime": Kind.MICRO_TIME,
}
_SCALARS = {
    "string": Kind.STRING,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
}

# What a required field has in a Go struct that was never touched.
_ZEROS: Mapping[Kind, Any] = {
    Kind.STRING: "",
    Kind.INTEGER: 0,
    Kind.BOOLEAN: False,
    Kind.ARRAY: None,
    Kind.MAP: None,
    Kind.TIME: None,
    Kind.MICRO_TIME: None,
    Kind.BYTES: None,
    Kind.INT_OR_STRING: 0,
    Kind.QUANTITY: "0",
}


class Schemas:
    """The published definitions, and the nodes compiled from them when first asked for."""

    def __init__(self, raw: Mapping[str, Obj]) -> None:
        self._raw = raw
        self._nodes: dict[str, Node] = {}
        self._by_gvk: dict[tuple[str, str, str], str] = {}
        for name, definition in raw.items():
            for gvk in definition.get("x-kubernetes-group-version-kind", ()):
                key = (gvk["group"], gvk["version"], gvk["kind"])
                self._by_gvk.setdefault(key, name)

    @classmethod
    def load(cls) -> "Schemas":
        """Read the shipped definitions (about 20 ms). Call once per process, when it starts."""
        # Found, not imported: the package's code would load jsonschema, which takes half a second.
        spec = find_spec("kubernetes_validate")
        if spec is None or spec.origin is None:
            raise FileNotFoundError("package kubernetes-validate is not installed")
        folder = Path(spec.origin).parent / "kubernetes-json-schema"
        path = folder / f"{KUBERNETES_VERSION}-local" / "_definitions.json"
        return cls(orjson.loads(path.read_bytes())["$defs"])

    def of(self, group: str, version: str, kind: str) -> Node | None:
        """The node of a built-in kind, None if there is no such kind."""
        name = self._by_gvk.get((group, version, kind))
        return None if name is None else self.definition(name)

    def kinds(self) -> Iterator[tuple[str, str, str]]:
        """Group, version and kind of everything that is defined."""
        return iter(self._by_gvk)

    def definition_name(self, group: str, version: str, kind: str) -> str | None:
        """The name under which a kind is published."""
        return self._by_gvk.get((group, version, kind))

    def definition(self, name: str) -> Node:
        """The node of a definition by its full name; KeyError if there is none."""
        node = self._nodes.get(name)
        if node is None:
            node = self._compile(self._raw[name], name)
        return node

    def definitions(self) -> dict[str, Obj]:
        """All definitions in the form of a published OpenAPI v2 document; a fresh copy."""
        return {name: _published(d, name) for name, d in self._raw.items()}

    def schemaless(self, *, go: bool = False) -> Node:
        """The node of a kind of which nothing but the object metadata is known."""
        node = Node(Kind.OBJECT, go=go)
        node.preserve_unknown = True
        node.fields.update(self._type_fields())
        return node

    def from_crd_schema(self, schema: Obj | None) -> Node:
        """The node of a custom resource, from ``openAPIV3Schema`` (None: anything goes)."""
        if schema is None:
            return self.schemaless()
        node = _structural(schema, self._type_fields)
        node.fields.update(self._type_fields())
        if node.kind is Kind.ANY:
            node.kind = Kind.OBJECT
        return node

    def _type_fields(self) -> dict[str, Node]:
        return {
            "apiVersion": Node(Kind.STRING),
            "kind": Node(Kind.STRING),
            "metadata": self.definition(_OBJECT_META),
        }

    def _compile(self, raw: Obj, name: str = "") -> Node:
        node = Node(_kind_of(raw, name), name=name)
        if name:
            self._nodes[name] = node  # before its fields: definitions refer to themselves
        node.format = raw.get("format", "")
        node.required = frozenset(raw.get("required", ()))
        node.key_defaults = dict(_KEY_DEFAULTS.get(name, {}))
        if node.kind is Kind.OBJECT:
            properties = raw.get("properties") or {}
            node.preserve_unknown = not properties
            for field, schema in properties.items():
                node.fields[field] = self._property(schema)
            _learn_go_type(node)
        elif node.kind is Kind.MAP:
            node.element = self._property(raw["additionalProperties"])
        elif node.kind is Kind.ARRAY:
            node.element = self._property(raw["items"])
        _extend(node, raw)
        return node

    def _property(self, raw: Obj) -> Node:
        ref = raw.get("$ref")
        if ref is None:
            return self._compile(raw)
        node = self.definition(ref.rpartition("/")[2])
        if any(key.startswith("x-kubernetes-") for key in raw):
            node = node.copy()
            _extend(node, raw)
        return node


def _learn_go_type(node: Node) -> None:
    """Fill in which fields are always there and which vanish when empty (``gotypes``)."""
    type_name = node.type_name
    structs = set(gotypes.STRUCT_FIELDS.get(type_name, ()))
    vanishing = set()
    for field, sub in node.fields.items():
        required = field in node.required
        if sub.kind is Kind.OBJECT and not sub.preserve_unknown:
            by_rule = required or field in gotypes.STRUCT_NAMES
            if by_rule and (type_name, field) not in gotypes.POINTER_STRUCTS:
                structs.add(field)
        elif not required and gotypes.vanishes(type_name, field, sub.kind):
            vanishing.add(field)
    node.struct_fields = tuple(f for f in node.fields if f in structs)
    node.vanishing = frozenset(vanishing)
    node.zeros = {
        field: _ZEROS[node.fields[field].kind]
        for field in node.fields
        if field in node.required and node.fields[field].kind in _ZEROS
    }
    node.zeros.update(dict.fromkeys(gotypes.WRITTEN_NULLS.get(type_name, ())))
    # Types of different groups share names: the two Events differ in their fields.
    written = gotypes.ZERO_FIELDS.get(type_name, {})
    node.zeros.update({name: zero for name, zero in written.items() if name in node.fields})


def _kind_of(raw: Obj, name: str) -> Kind:
    if name in _SPECIAL:
        return _SPECIAL[name]
    type_ = _plain_type(raw.get("type"))
    if type_ == "string" and raw.get("format") == "byte":
        return Kind.BYTES
    if type_ == "object":
        return Kind.MAP if isinstance(raw.get("additionalProperties"), dict) else Kind.OBJECT
    if type_ == "array":
        return Kind.ARRAY
    return _SCALARS.get(type_, Kind.ANY)


def _plain_type(type_: Any) -> str:
    if isinstance(type_, list):
        return next((str(t) for t in type_ if t != "null"), "")
    return type_ or ""


def _extend(node: Node, raw: Obj) -> None:
    """Take over the ``x-kubernetes-*`` extensions that say how values merge."""
    node.list_type = raw.get("x-kubernetes-list-type", node.list_type)
    node.list_map_keys = tuple(raw.get("x-kubernetes-list-map-keys", node.list_map_keys))
    node.map_type = raw.get("x-kubernetes-map-type", node.map_type)
    node.merge_key = raw.get("x-kubernetes-patch-merge-key", node.merge_key)
    if strategy := raw.get("x-kubernetes-patch-strategy"):
        node.patch_strategies = frozenset(strategy.split(","))
    if raw.get("x-kubernetes-preserve-unknown-fields"):
        node.preserve_unknown = True


def _structural(schema: Obj, type_fields: Callable[[], dict[str, Node]]) -> Node:
    """The node of a structural schema (``apiextensions.k8s.io/v1 JSONSchemaProps``)."""
    if schema.get("x-kubernetes-int-or-string"):
        node = Node(Kind.INT_OR_STRING, go=False)
    else:
        node = Node(_kind_of(schema, ""), go=False)
    node.nullable = bool(schema.get("nullable"))
    node.format = schema.get("format") or ""
    node.required = frozenset(schema.get("required") or ())
    additional = schema.get("additionalProperties")
    if node.kind is Kind.MAP:
        node.element = _structural(schema["additionalProperties"], type_fields)
    elif node.kind is Kind.ARRAY:
        items = schema.get("items")
        node.element = _structural(items, type_fields) if isinstance(items, dict) else None
        if isinstance(items, dict) and node.element is not None:
            keys = schema.get("x-kubernetes-list-map-keys") or ()
            node.element.key_defaults = _declared_defaults(items, keys)
    elif node.kind is Kind.OBJECT and additional is True:
        node.preserve_unknown = True
    for field, sub in (schema.get("properties") or {}).items():
        node.fields[field] = _structural(sub, type_fields)
    _extend(node, schema)
    if schema.get("x-kubernetes-embedded-resource"):
        node.embedded = True
        node.fields.update(type_fields())
    return node


def _declared_defaults(items: Any, keys: Any) -> dict[str, Any]:
    properties = (items or {}).get("properties") or {}
    return {k: properties[k]["default"] for k in keys if "default" in properties.get(k, {})}


def _published(raw: Obj, name: str = "") -> Obj:
    """Undo what the shipped form changed: nullable types, ``$defs``, enums of type fields."""
    special = _SPECIAL.get(name)
    if special is Kind.QUANTITY:
        return {"description": raw.get("description", ""), "type": "string"}
    if special is Kind.INT_OR_STRING:
        description = raw.get("description", "")
        return {"description": description, "format": "int-or-string", "type": "string"}
    new: Obj = {}
    for key, value in raw.items():
        if key == "type":
            new[key] = _plain_type(value)
        elif key == "$ref":
            new[key] = "#/definitions/" + value.rpartition("/")[2]
        elif key == "properties":
            new[key] = {f: _published(s) for f, s in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            new[key] = _published(value)
        elif key != "enum":
            new[key] = value
    return new
