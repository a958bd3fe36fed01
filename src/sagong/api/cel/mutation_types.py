"""``Object{...}``, ``Object.spec{...}`` and ``JSONPatch{...}``: what mutations are made of.

The name of an ``Object`` type is the path of its fields from the root. Any field may be set, to a
value of any type; whether the names follow the path is looked at when the result is taken.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sagong.api.cel import times
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.library.json_patch import JSON_PATCH
from sagong.api.cel.types import DYN, Field, Kind, Type, struct
from sagong.api.cel.values import Duration, Selectable, Timestamp, Uint, equal, type_name

ROOT = "Object"


class _AnyField(Mapping[str, Field]):
    """Every name is a field."""

    def __getitem__(self, name: str) -> Field:
        return Field(name, DYN)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_ANY_FIELD = _AnyField()


class MutationTypes(Mapping[str, Type]):
    """Struct types by name: ``JSONPatch``, ``Object`` and everything that begins with it."""

    def __getitem__(self, name: str) -> Type:
        if name == JSON_PATCH.name:
            return JSON_PATCH
        if name == ROOT or name.startswith(f"{ROOT}."):
            return Type(Kind.STRUCT, name, fields=_ANY_FIELD)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((JSON_PATCH.name, ROOT))

    def __len__(self) -> int:
        return 2


MUTATION_TYPES = MutationTypes()
OBJECT = struct(ROOT, {})


class Made(Selectable):
    """A value of a struct type that an expression made."""

    __slots__ = ("fields", "type_name")

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self.type_name = name
        self.fields = fields

    def select(self, name: str) -> Any:
        return self.fields[name]

    def has(self, name: str) -> bool:
        return name in self.fields

    def equals(self, other: Any) -> bool:
        same = isinstance(other, Made) and self.type_name == other.type_name
        return same and equal(self.fields, other.fields)


def to_json(value: Any, path: str = "") -> Any:
    """A CEL value as JSON. ``path``: the type that an ``Object`` at this place must be of.

    Raises EvaluationError for what has no form in JSON, and for a type that does not follow the
    path of its field.
    """
    if isinstance(value, Made):
        return _made(value, path)
    if isinstance(value, list):
        return [to_json(item, path) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise EvaluationError("map keys must be strings")
        # Below a map the names of types go no further.
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, Timestamp):
        return times.show_timestamp(value)
    if isinstance(value, Duration):
        return times.show_duration(value)
    if isinstance(value, Uint):
        return int(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise EvaluationError(f"unsupported type: {type_name(value)}")


def _made(value: Made, path: str) -> Any:
    if path and value.type_name != path:
        raise EvaluationError(
            f'unexpected type name "{value.type_name}", expected "{path}", which matches field '
            "name path from root Object type"
        )
    if value.type_name == JSON_PATCH.name:
        # A patch's value is a part of the object, whose type begins a path of its own.
        return {name: to_json(item) for name, item in value.fields.items()}
    at = path or value.type_name
    return {name: to_json(item, f"{at}.{name}") for name, item in value.fields.items()}
