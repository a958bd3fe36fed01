"""The OpenAPI definitions of custom resources. Pure.

Source of semantics: apiextensions' ``controller/openapi/builder``.
"""

from collections.abc import Mapping
from typing import Any

from sagong.api.types import Obj, Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TYPES_AS_IN = "io.k8s.api.core.v1.ConfigMap"
_KEEPS_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
# What version 2 cannot say.
_VERSION3_ONLY = ("nullable", "oneOf", "anyOf", "allOf", "not", "default")


def definition_name(group: str, version: str, kind: str) -> str:
    """``com.example.stable.v1.CronTab``."""
    return ".".join([*reversed(group.split(".")), version, kind])


def definitions_of(resource: Resource, schema: Obj) -> Mapping[str, Obj]:
    """The definitions of a kind and of its list, in the form of a version 2 document."""
    name = definition_name(resource.group, resource.version, resource.kind)
    listed = definition_name(resource.group, resource.version, resource.list_kind)
    return {name: _kind(resource, schema), listed: _list(resource, name)}


def _types() -> Obj:
    """What ``described`` gives the words of every kind to."""
    return {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}


def described(definitions: Mapping[str, Obj], built_in: Mapping[str, Obj]) -> dict[str, Obj]:
    """Definitions whose type is described in the words that all kinds have for it."""
    words = built_in.get(_TYPES_AS_IN, {}).get("properties") or {}
    types = {name: words[name] for name in ("apiVersion", "kind") if name in words}
    return {
        name: {**definition, "properties": {**definition["properties"], **types}}
        for name, definition in definitions.items()
    }


def _gvk(resource: Resource, kind: str) -> list[Obj]:
    return [{"group": resource.group, "version": resource.version, "kind": kind}]


def _kind(resource: Resource, schema: Obj) -> Obj:
    return {
        **_completed(schema, is_object=True),
        "x-kubernetes-group-version-kind": _gvk(resource, resource.kind),
    }


def _completed(schema: Any, *, is_object: bool = False) -> Any:
    """A schema in which every object, embedded ones too, has type and metadata."""
    if not isinstance(schema, dict):
        return schema
    found: Obj = dict(schema)
    if "properties" in schema:
        found["properties"] = {n: _completed(sub) for n, sub in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in schema:
            found[key] = _completed(schema[key])
    if is_object or schema.get("x-kubernetes-embedded-resource"):
        metadata = {
            "description": "Standard object's metadata.",
            "$ref": f"#/definitions/{_META}ObjectMeta",
        }
        properties = found.get("properties") or {}
        found["properties"] = {**properties, **_types(), "metadata": metadata}
    return found


def _list(resource: Resource, name: str) -> Obj:
    items = {
        "description": f"List of {resource.plural}.",
        "type": "array",
        "items": {"$ref": f"#/definitions/{name}"},
    }
    metadata = {
        "description": "Standard list metadata.",
        "$ref": f"#/definitions/{_META}ListMeta",
    }
    return {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_types(), "items": items, "metadata": metadata},
        "x-kubernetes-group-version-kind": _gvk(resource, resource.list_kind),
    }


def definition_in_version2(definition: Obj) -> Obj:
    """A definition as a version 2 document has it.

    Of a kind that keeps unknown fields nothing is said: readers would take what is said for all.
    """
    if not definition.get(_KEEPS_UNKNOWN):
        found: Obj = in_version2(definition)
        return found
    gvk = "x-kubernetes-group-version-kind"
    return {"type": "object", gvk: definition[gvk]}


def in_version2(schema: Any) -> Any:
    """A schema without what version 2 has no words for."""
    if not isinstance(schema, dict):
        return schema
    found: Obj = {}
    if schema.get("nullable"):
        schema = {k: v for k, v in schema.items() if k not in ("type", "items", "properties")}
    for key, value in schema.items():
        if key in _VERSION3_ONLY:
            continue
        if key == "properties":
            found[key] = {name: in_version2(sub) for name, sub in value.items()}
        elif key in ("items", "additionalProperties"):
            found[key] = in_version2(value)
        else:
            found[key] = value
    # What keeps unknown fields or may be of two types can have any shape for version 2's readers.
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("type", None)
    return found
