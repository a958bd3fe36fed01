"""The OpenAPI definitions of custom resources. Pure.

Source of semantics: apiextensions' ``controller/openapi/builder``.
"""

from collections.abc import Mapping
from typing import Any

from sagong.api.types import Obj, Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_API_VERSION = "Which version of the API the object is written in, and of which group."
_KIND = "What the object is: the resource in the words of its definition."
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
    return {
        "apiVersion": {"description": _API_VERSION, "type": "string"},
        "kind": {"description": _KIND, "type": "string"},
    }


def _gvk(resource: Resource, kind: str) -> list[Obj]:
    return [{"group": resource.group, "version": resource.version, "kind": kind}]


def _kind(resource: Resource, schema: Obj) -> Obj:
    metadata = {
        "description": "Standard object's metadata.",
        "$ref": f"#/definitions/{_META}ObjectMeta",
    }
    properties = {**(schema.get("properties") or {}), **_types(), "metadata": metadata}
    return {
        **schema,
        "properties": properties,
        "x-kubernetes-group-version-kind": _gvk(resource, resource.kind),
    }


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


def in_version2(schema: Any) -> Any:
    """A schema without what version 2 has no words for."""
    if not isinstance(schema, dict):
        return schema
    found: Obj = {}
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
