"""Rules of the parts of a custom resource's schema (upstream: structural schemas, extensions).

``validation.py`` walks the schema; here is what it asks of each node, besides types.
"""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = (
    *("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"),
)
_LIST_TYPE = "x-kubernetes-list-type"
_LIST_KEYS = "x-kubernetes-list-map-keys"
_MAP_TYPE = "x-kubernetes-map-type"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"
# What only the schema itself may say, not the conditions in it; and how it must be instead.
_STRUCTURAL: Mapping[str, str] = {
    "type": "empty",
    "title": "empty",
    "description": "empty",
    "default": "undefined",
    "additionalProperties": "undefined",
    "nullable": "false",
}
_CONDITIONS = ("allOf", "anyOf", "oneOf")


def validate_node(schema: Obj, path: Path, errors: ErrorList) -> None:
    """Everything but the types and the nested schemas of one node."""
    _validate_plain(schema, path, errors)
    _validate_embedded(schema, path, errors)
    _validate_topology(schema, path, errors)
    for field in _CONDITIONS:
        for i, condition in enumerate(schema.get(field) or ()):
            _validate_condition(condition, schema, path.child(field).index(i), errors)
    if isinstance(schema.get("not"), dict):
        _validate_condition(schema["not"], schema, path.child("not"), errors)


def validate_root(schema: Obj, path: Path, errors: ErrorList) -> None:
    """``kind``, ``apiVersion`` and ``metadata`` are what they are in every object."""
    properties, at = schema.get("properties") or {}, path.child("properties")
    for name, type_ in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        given = properties.get(name)
        if isinstance(given, dict) and (given.get("type") or type_) != type_:
            errors.invalid(at.key(name).child("type"), given["type"], f"must be {type_}")
    metadata = properties.get("metadata") or {}
    if set(metadata.get("properties") or ()) - {"name", "generateName"}:
        message = "must not specify anything other than name and generateName, but metadata is "
        errors.forbidden(at.key("metadata"), f"{message}implicitly specified")


def _validate_plain(schema: Obj, path: Path, errors: ErrorList) -> None:
    type_ = schema.get("type") or ""
    for field in _UNSUPPORTED:
        if schema.get(field):
            errors.forbidden(path.child(field), f"{field} is not supported")
    if type_ == "null":
        message = "type cannot be set to null, use nullable as an alternative"
        errors.forbidden(path.child("type"), message)
    elif type_ and type_ not in _TYPES:
        errors.not_supported(path.child("type"), type_, list(_TYPES))
    if isinstance(schema.get("items"), list):
        errors.forbidden(path.child("items"), "items must be a schema object and not an array")
    if schema.get("uniqueItems"):
        message = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(path.child("uniqueItems"), message)
    if schema.get(_PRESERVE) is False:
        errors.invalid(path.child(_PRESERVE), False, "must be true or undefined")
    if schema.get(_INT_OR_STRING):
        for field in (_PRESERVE, _EMBEDDED):
            if schema.get(field):
                message = f"must be false if {_INT_OR_STRING} is true"
                errors.invalid(path.child(field), True, message)


def _validate_embedded(schema: Obj, path: Path, errors: ErrorList) -> None:
    if not schema.get(_EMBEDDED):
        return
    _must_be("object", schema, f"{_EMBEDDED} is true", path, errors)
    if not schema.get(_PRESERVE) and not schema.get("properties"):
        message = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
        errors.required(path.child("properties"), message)


def _must_be(wanted: str, schema: Obj, when: str, path: Path, errors: ErrorList) -> None:
    type_, message = schema.get("type") or "", f"must be {wanted} if {when}"
    if not type_:
        errors.required(path.child("type"), message)
    elif type_ != wanted:
        errors.invalid(path.child("type"), type_, message)


def _validate_topology(schema: Obj, path: Path, errors: ErrorList) -> None:
    """How lists and maps merge."""
    map_type, list_type = schema.get(_MAP_TYPE), schema.get(_LIST_TYPE)
    if map_type is not None:
        _must_be("object", schema, f"{_MAP_TYPE} is specified", path, errors)
        if map_type not in ("atomic", "granular"):
            errors.not_supported(path.child(_MAP_TYPE), map_type, ["atomic", "granular"])
    if list_type is not None:
        _must_be("array", schema, f"{_LIST_TYPE} is specified", path, errors)
        if list_type not in ("atomic", "set", "map"):
            errors.not_supported(path.child(_LIST_TYPE), list_type, ["atomic", "set", "map"])
    if schema.get(_LIST_KEYS) and list_type != "map":
        message = f"must be map if {_LIST_KEYS} is non-empty"
        if list_type is None:
            errors.required(path.child(_LIST_TYPE), message)
        else:
            errors.invalid(path.child(_LIST_TYPE), list_type, message)
    if list_type == "map":
        _validate_keyed(schema, path, errors)
    elif list_type == "set" and isinstance(schema.get("items"), dict):
        _validate_set_items(schema["items"], path.child("items"), errors)


def _validate_keyed(schema: Obj, path: Path, errors: ErrorList) -> None:
    keys, where = schema.get(_LIST_KEYS) or [], path.child(_LIST_KEYS)
    if not keys:
        errors.required(where, f"must not be empty if {_LIST_TYPE} is map")
    items, at = schema.get("items"), path.child("items")
    if not isinstance(items, dict):
        errors.required(at, f"must have a schema if {_LIST_TYPE} is map")
        return
    if items.get("type") != "object":
        message = f"must be object if parent array's {_LIST_TYPE} is map"
        errors.invalid(at.child("type"), items.get("type") or "", message)
    properties, required = items.get("properties") or {}, items.get("required") or ()
    for key in keys:
        if key not in properties:
            errors.invalid(where, keys, "entries must all be names of item properties")
            continue
        field, place = properties[key], at.child("properties").key(key)
        if field.get("type") in ("array", "object"):
            message = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
            errors.invalid(place.child("type"), field["type"], message)
        if field.get("nullable"):
            message = f"this property is in {_LIST_KEYS}, so it cannot be nullable"
            errors.forbidden(place.child("nullable"), message)
        if key not in required and field.get("default") is None:
            message = f"this property is in {_LIST_KEYS}, so it must have a default or be a "
            errors.required(place.child("default"), f"{message}required property")
    if len(set(keys)) < len(keys):
        errors.invalid(where, keys, "must not contain duplicate entries")


def _validate_set_items(items: Obj, path: Path, errors: ErrorList) -> None:
    """The items of a set are compared as a whole."""
    message = f"must be atomic as item of a list with {_LIST_TYPE}=set"
    field = {"object": _MAP_TYPE, "array": _LIST_TYPE}.get(items.get("type") or "")
    if items.get("nullable"):
        message_of_null = f"cannot be nullable when {_LIST_TYPE} is set"
        errors.forbidden(path.child("nullable"), message_of_null)
    if field is None:
        return
    given = items.get(field)
    if given is None and field == _MAP_TYPE:
        errors.required(path.child(field), message)
    elif given not in (None, "atomic"):
        errors.invalid(path.child(field), given, message)


def _validate_condition(condition: Obj, owner: Obj, path: Path, errors: ErrorList) -> None:
    """A condition only restricts values; ``owner`` may be a number or a string by its mark."""
    for field, how in _STRUCTURAL.items():
        if field == "type" and owner.get(_INT_OR_STRING):
            continue
        if condition.get(field) not in (None, "", False):
            errors.forbidden(path.child(field), f"must be {how} to be structural")
    for name, nested in (condition.get("properties") or {}).items():
        _validate_condition(nested, {}, path.child("properties").key(name), errors)
    if isinstance(condition.get("items"), dict):
        _validate_condition(condition["items"], {}, path.child("items"), errors)
    for field in _CONDITIONS:
        for i, nested in enumerate(condition.get(field) or ()):
            _validate_condition(nested, owner, path.child(field).index(i), errors)
