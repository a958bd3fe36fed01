"""CEL's types: what they are called, and which values may stand for which (the checker's rules)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    NULL = "null"
    DYN = "dyn"
    ERROR = "!error!"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    TYPE = "type"
    LIST = "list"
    MAP = "map"
    OPAQUE = "opaque"  # abstract types of libraries, optional_type among them
    STRUCT = "struct"
    PARAM = "param"


@dataclass(frozen=True, slots=True)
class Type:
    """A type; two are the same if kind, name and parameters are."""

    kind: Kind
    name: str
    params: tuple["Type", ...] = ()
    # Of a struct: its fields by the names that expressions use.
    fields: Mapping[str, "Field"] = field(default_factory=dict, compare=False, repr=False)
    # How many characters, bytes, items or entries a value has at most (-1: unknown).
    size_max: int = field(default=-1, compare=False)
    # From the value in an object's JSON to CEL's, where they differ.
    convert: Callable[[Any], Any] | None = field(default=None, compare=False, repr=False)
    # Of a list: "set" or "map" (with its keys) if it merges as one.
    list_type: str = field(default="", compare=False)
    list_keys: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return format_type(self)

    @property
    def is_dyn(self) -> bool:
        return self.kind is Kind.DYN or self.kind is Kind.ERROR


@dataclass(frozen=True, slots=True)
class Field:
    """A struct's field. ``key``: its name in the object."""

    key: str
    type: Type


BOOL = Type(Kind.BOOL, "bool")
INT = Type(Kind.INT, "int")
UINT = Type(Kind.UINT, "uint")
DOUBLE = Type(Kind.DOUBLE, "double")
STRING = Type(Kind.STRING, "string")
BYTES = Type(Kind.BYTES, "bytes")
NULL = Type(Kind.NULL, "null_type")
DYN = Type(Kind.DYN, "dyn")
ERROR = Type(Kind.ERROR, "!error!")
TIMESTAMP = Type(Kind.TIMESTAMP, "google.protobuf.Timestamp")
DURATION = Type(Kind.DURATION, "google.protobuf.Duration")
TYPE = Type(Kind.TYPE, "type")

_SHOWN = {Kind.NULL: "null", Kind.TIMESTAMP: "timestamp", Kind.DURATION: "duration"}
_OPTIONAL = "optional_type"
_SCALARS = frozenset(
    (
        Kind.BOOL, Kind.INT, Kind.UINT, Kind.DOUBLE, Kind.STRING, Kind.BYTES, Kind.TIMESTAMP,
        Kind.DURATION, Kind.STRUCT,
    )
)  # fmt: skip
_NULLABLE = frozenset((Kind.NULL, Kind.TIMESTAMP, Kind.DURATION, Kind.STRUCT, Kind.OPAQUE))


def list_of(element: Type, size_max: int = -1) -> Type:
    return Type(Kind.LIST, "list", (element,), size_max=size_max)


def map_of(key: Type, value: Type, size_max: int = -1) -> Type:
    return Type(Kind.MAP, "map", (key, value), size_max=size_max)


def type_of(inner: Type) -> Type:
    return Type(Kind.TYPE, "type", (inner,))


def optional_of(inner: Type) -> Type:
    return Type(Kind.OPAQUE, _OPTIONAL, (inner,))


def opaque(name: str, *params: Type) -> Type:
    return Type(Kind.OPAQUE, name, params)


def param(name: str) -> Type:
    return Type(Kind.PARAM, name)


def struct(name: str, fields: Mapping[str, Field]) -> Type:
    return Type(Kind.STRUCT, name, fields=fields)


def is_optional(type_: Type) -> bool:
    return type_.kind is Kind.OPAQUE and type_.name == _OPTIONAL


def unwrapped(type_: Type) -> Type:
    return type_.params[0] if is_optional(type_) else type_


def format_type(type_: Type) -> str:
    shown = _SHOWN.get(type_.kind, type_.name)
    if not type_.params:
        return shown
    return f"{shown}({', '.join(format_type(p) for p in type_.params)})"


def declared_name(type_: Type) -> str:
    """A type by its declared name, as Go prints it."""
    if not type_.params:
        return type_.name
    return f"{type_.name}({', '.join(declared_name(p) for p in type_.params)})"


class Substitutions:
    """What the checker has found type parameters to stand for. ``copy`` before trying."""

    __slots__ = ("_found",)

    def __init__(self, found: dict[Type, Type] | None = None) -> None:
        self._found = found or {}

    def copy(self) -> "Substitutions":
        return Substitutions(dict(self._found))

    def applied(self, type_: Type, *, params_are_dyn: bool = False) -> Type:
        """``type_`` with every known parameter replaced."""
        found = self._found.get(type_)
        if found is not None:
            return self.applied(found, params_are_dyn=params_are_dyn)
        if type_.kind is Kind.PARAM:
            return DYN if params_are_dyn else type_
        if not type_.params:
            return type_
        params = tuple(self.applied(p, params_are_dyn=params_are_dyn) for p in type_.params)
        if params == type_.params:
            return type_
        return replace(type_, params=params)

    def assign(self, given: Type, wanted: Type) -> bool:
        """Whether ``given`` may stand for ``wanted``; learns what parameters must be."""
        if wanted.kind is Kind.PARAM:
            valid, known = self._substitute(given, wanted)
            if valid or known:
                return valid
        if given.kind is Kind.PARAM:
            return self._substitute(wanted, given)[0]
        if given.is_dyn or wanted.is_dyn:
            return True
        if given.kind is Kind.NULL:
            return wanted.kind in _NULLABLE
        if wanted.kind is Kind.NULL:
            return given.kind in _NULLABLE
        if given.kind in _SCALARS:
            return given.kind is wanted.kind and given.name == wanted.name
        if given.kind is Kind.TYPE:
            return wanted.kind is Kind.TYPE
        return (
            given.kind is wanted.kind
            and given.name == wanted.name
            and self.assign_all(given.params, wanted.params)
        )

    def assign_all(self, given: tuple[Type, ...], wanted: tuple[Type, ...]) -> bool:
        if len(given) != len(wanted):
            return False
        return all(self.assign(a, b) for a, b in zip(given, wanted, strict=True))

    def _substitute(self, type_: Type, parameter: Type) -> tuple[bool, bool]:
        """Whether the parameter may stand for ``type_``, and whether it stood for one already."""
        if type_ == parameter:
            return True, True
        known = self._found.get(parameter)
        if known is not None:
            if type_ == known:
                return True, True
            if not self.assign(type_, known):
                return False, True
            general = most_general(type_, known)
            if not self._occurs(parameter, general):
                self._found[parameter] = general
            return True, True
        if self._occurs(parameter, type_):
            return False, False
        self._found[parameter] = type_
        return True, False

    def _occurs(self, parameter: Type, within: Type) -> bool:
        if within == parameter:
            return True
        if within.kind is Kind.PARAM:
            found = self._found.get(within)
            return found is not None and self._occurs(parameter, found)
        return any(self._occurs(parameter, p) for p in within.params)


def most_general(first: Type, second: Type) -> Type:
    return first if _less_specific(first, second) else second


def _less_specific(first: Type, second: Type) -> bool:
    """Is ``first`` equal to or less specific than ``second``?"""
    if first.is_dyn or first.kind is Kind.PARAM:
        return True
    if second.is_dyn or second.kind is Kind.PARAM:
        return False
    if first.kind is Kind.NULL:
        return False
    if second.kind is Kind.NULL:
        return True
    if first.kind is not second.kind or first.name != second.name:
        return False
    pairs = zip(first.params, second.params, strict=False)
    return all(_less_specific(a, b) for a, b in pairs)
