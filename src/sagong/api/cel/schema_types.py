"""CEL's types of custom resources, from the structural schema of their definition.

Source of semantics: apiserver's ``pkg/cel/common/schemas.go`` and ``pkg/cel/escaping.go``. How many
items or characters a value may have is what the schema says, or what fits into one request.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.times import duration_of, timestamp_of
from sagong.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Field,
    Type,
    list_of,
    map_of,
    struct,
)
from sagong.api.cel.values import NANOS, Duration, Timestamp
from sagong.api.types import Obj

REQUEST_BYTES_MAX = 3 * 1024 * 1024
_STRING_MAX = REQUEST_BYTES_MAX - 2
_DATE_SIZE, _MOMENT_SIZE = 12, 32  # of the JSON that they are at most
_RESERVED = frozenset(
    (
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void",
        "while",
    )
)  # fmt: skip
_ACCESSIBLE = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[./-]")
_LONG_DURATION = re.compile(r"(?i)(\d+)\s*(n|u|µ|m|s|min|h|d|w)[a-z]*")
_UNITS = {"n": 1, "u": 10**3, "µ": 10**3, "s": NANOS, "h": 3600 * NANOS, "d": 86400 * NANOS}


@dataclass(frozen=True, slots=True)
class Sized:
    """A type, and the least bytes that a value of it takes as JSON."""

    type: Type
    bytes_min: int


def escape(name: str) -> str | None:
    """The name under which a property is accessible; None if it is not."""
    if _ACCESSIBLE.fullmatch(name) is None:
        return None
    if name in _RESERVED:
        return f"__{name}__"
    return _ESCAPED.sub(lambda match: _ESCAPES[match.group()], name)


def type_of_schema(schema: Obj, name: str, *, is_root: bool = False) -> Type | None:
    """The type of what a schema describes; None if nothing is known of it.

    ``name`` is that of the type, and the beginning of those of its parts. A root has metadata.
    """
    sized = sized_type(schema, name, is_root=is_root)
    return None if sized is None else sized.type


def sized_type(schema: Obj, name: str, *, is_root: bool = False) -> Sized | None:
    if schema.get("x-kubernetes-int-or-string"):
        return Sized(replace(DYN, size_max=_STRING_MAX), 1)
    kind = schema.get("type")
    if is_root or schema.get("x-kubernetes-embedded-resource"):
        return _object(_with_metadata(schema), name)
    if kind == "array":
        return _array(schema, name)
    if kind == "object":
        return _map(schema, name) if _values(schema) is not None else _object(schema, name)
    if kind == "string":
        return _string(schema)
    return _SCALARS.get(kind or "")


_SCALARS = {
    "boolean": Sized(BOOL, 4),
    "integer": Sized(INT, 1),
    # An integer in JSON is a double where a number is due.
    "number": Sized(replace(DOUBLE, convert=float), 1),
}


def _values(schema: Obj) -> Obj | None:
    additional = schema.get("additionalProperties")
    return additional if isinstance(additional, dict) else None


def _with_metadata(schema: Obj) -> Obj:
    """Type and name are known of every object, whatever its schema says."""
    text = {"type": "string"}
    metadata = {"type": "object", "properties": {"name": text, "generateName": text}}
    properties = {**(schema.get("properties") or {}), "metadata": metadata}
    return {**schema, "properties": {"apiVersion": text, "kind": text, **properties}}


def items_max(schema: Obj, bytes_min: int) -> int:
    """How many items an array has at most."""
    given = schema.get("maxItems")
    if given is not None:
        return max(int(given), 0)
    return (REQUEST_BYTES_MAX - 2) // (bytes_min + 1)


def properties_max(schema: Obj, bytes_min: int) -> int:
    """How many entries a map has at most."""
    given = schema.get("maxProperties")
    if given is not None:
        return max(int(given), 0)
    return (REQUEST_BYTES_MAX - 2) // (bytes_min + 6)


def _array(schema: Obj, name: str) -> Sized | None:
    items = schema.get("items")
    element = sized_type(items, f"{name}.@idx") if isinstance(items, dict) else None
    if element is None:
        return None
    made = replace(
        list_of(element.type, items_max(schema, element.bytes_min)),
        convert=_of_items(element.type.convert),
        list_type=schema.get("x-kubernetes-list-type") or "",
        list_keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
    )
    return Sized(made, 2)


def _map(schema: Obj, name: str) -> Sized | None:
    value = sized_type(_values(schema) or {}, f"{name}.@elem")
    if value is None:
        return None
    size = properties_max(schema, value.bytes_min)
    # Upstream takes keys for empty, as nothing in a schema could say how long they may be.
    made = map_of(replace(STRING, size_max=0), value.type, size)
    return Sized(replace(made, convert=_of_values(value.type.convert)), 2)


def _object(schema: Obj, name: str) -> Sized:
    fields: dict[str, Field] = {}
    required = frozenset(schema.get("required") or ())
    bytes_min = 2
    for key, sub in (schema.get("properties") or {}).items():
        found = sized_type(sub, f"{name}.{key}")
        if found is None:
            continue
        shown = escape(key)
        if shown is not None:
            fields[shown] = Field(key, found.type)
        if key in required and "default" not in sub:
            bytes_min += len(key) + found.bytes_min + 4
    return Sized(struct(name, fields), bytes_min)


def _string(schema: Obj) -> Sized:
    longest = schema.get("maxLength")
    format_ = schema.get("format")
    if format_ == "byte":
        size = _STRING_MAX if longest is None else max(longest, 0)
        return Sized(replace(BYTES, size_max=size, convert=_bytes), 2)
    if format_ == "duration":
        return Sized(replace(DURATION, size_max=_MOMENT_SIZE, convert=_duration), 3)
    if format_ == "date":
        return Sized(replace(TIMESTAMP, size_max=_DATE_SIZE, convert=_date), _DATE_SIZE)
    if format_ == "date-time":
        return Sized(replace(TIMESTAMP, size_max=_MOMENT_SIZE, convert=_moment), 21)
    if longest is not None:
        size = max(longest, 0) * 4  # characters, each of which may take four bytes
    elif schema.get("enum"):
        size = max(len(str(value)) for value in schema["enum"])
    else:
        size = _STRING_MAX
    return Sized(replace(STRING, size_max=size), 2)


def _of_items(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    if convert is None:
        return None
    return lambda items: [None if item is None else convert(item) for item in items]


def _of_values(convert: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    if convert is None:
        return None
    return lambda entries: {
        key: None if value is None else convert(value) for key, value in entries.items()
    }


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("Invalid byte formatted string") from None


def _moment(text: Any) -> Timestamp:
    try:
        return timestamp_of(text)
    except ValueError:
        raise EvaluationError(f"Invalid date-time formatted string {text}") from None


def _date(text: Any) -> Timestamp:
    try:
        day = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise EvaluationError(f"Invalid date formatted string {text}") from None
    return Timestamp(int(day.timestamp()) * NANOS)


def _duration(text: Any) -> Duration:
    """Go's form, or one number with a unit in words (``strfmt.ParseDuration``)."""
    try:
        return duration_of(text)
    except ValueError:
        match = _LONG_DURATION.fullmatch(text)
    if match is None:
        raise EvaluationError(f"Invalid duration formatted string {text}")
    unit = match[2].lower()
    word = text[match.start(2) :].lower()
    if unit in ("m", "min"):
        nanos = 60 * NANOS if not word.startswith(("ms", "mil")) else 10**6
    elif unit == "w":
        nanos = 7 * 86400 * NANOS
    else:
        nanos = _UNITS[unit]
    return Duration(int(match[1]) * nanos)
