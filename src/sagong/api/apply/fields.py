"""Sets of field paths, and their wire form ``FieldsV1`` (structured-merge-diff's ``fieldpath``).

A path element is kept as FieldsV1 spells it: ``f:name`` for a field, ``k:{"name":"c"}`` for an
item of a map list, ``v:"x"`` for an item of a set, ``i:0`` for an index.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from sagong.api.types import Obj

Path = tuple[str, ...]

_ORDER = {"f": 0, "k": 1, "v": 2, "i": 3}
_SELF = "."


class FieldSet:
    """A set of paths. Treat as immutable but for ``add``, which builders use."""

    __slots__ = ("children", "members")

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.children: dict[str, FieldSet] = {}

    @classmethod
    def of(cls, *paths: Path) -> "FieldSet":
        """The set of these paths."""
        new = cls()
        for path in paths:
            new.add(path)
        return new

    @classmethod
    def from_fields_v1(cls, fields: Mapping[str, Any]) -> "FieldSet":
        """Decode ``fieldsV1``; ValueError if it is none."""
        new = cls()
        for key, sub in fields.items():
            if key == _SELF:
                continue
            if not isinstance(sub, dict):
                raise ValueError(f"expected object for {key!r}")
            element = _normal(key)
            if not sub or _SELF in sub:
                new.members.add(element)
            if any(k != _SELF for k in sub):
                new.children[element] = cls.from_fields_v1(sub)
        return new

    def to_fields_v1(self) -> Obj:
        """Encode, in upstream's order."""
        out: Obj = {}
        for element in sorted(self.members | self.children.keys(), key=_order):
            child = self.children.get(element)
            sub = {} if child is None else child.to_fields_v1()
            out[element] = {_SELF: {}, **sub} if sub and element in self.members else sub
        return out

    def add(self, path: Path) -> None:
        """Insert a path; the empty path (the object itself) is never a member."""
        if not path:
            return
        node = self
        for element in path[:-1]:
            child = node.children.get(element)
            if child is None:
                child = node.children[element] = FieldSet()
            node = child
        node.members.add(path[-1])

    def has(self, path: Path) -> bool:
        node: FieldSet | None = self
        for element in path[:-1]:
            node = node.children.get(element) if node is not None else None
        return node is not None and bool(path) and path[-1] in node.members

    def paths(self) -> Iterator[Path]:
        """Every path, each set's members before those below them, in order."""
        for element in sorted(self.members, key=_order):
            yield (element,)
        for element in sorted(self.children, key=_order):
            for path in self.children[element].paths():
                yield (element, *path)

    def leaves(self) -> "FieldSet":
        """Only the paths that have no other path of the set below them."""
        new = FieldSet()
        new.members = {m for m in self.members if not self.children.get(m)}
        new.children = {e: c.leaves() for e, c in self.children.items() if c}
        return new

    def __bool__(self) -> bool:
        return bool(self.members) or any(self.children.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FieldSet) or self.members != other.members:
            return False
        mine = {e: c for e, c in self.children.items() if c}
        theirs = {e: c for e, c in other.children.items() if c}
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldSet({[show_path(p) for p in self.paths()]})"

    def __or__(self, other: "FieldSet") -> "FieldSet":
        new = FieldSet()
        new.members = self.members | other.members
        new.children = dict(self.children)
        for element, child in other.children.items():
            mine = self.children.get(element)
            new.children[element] = child if mine is None else mine | child
        return new

    def __and__(self, other: "FieldSet") -> "FieldSet":
        new = FieldSet()
        new.members = self.members & other.members
        for element in self.children.keys() & other.children.keys():
            if both := self.children[element] & other.children[element]:
                new.children[element] = both
        return new

    def __sub__(self, other: "FieldSet") -> "FieldSet":
        new = FieldSet()
        new.members = self.members - other.members
        for element, child in self.children.items():
            theirs = other.children.get(element)
            rest = child if theirs is None else child - theirs
            if rest:
                new.children[element] = rest
        return new

    def without_below(self, other: "FieldSet") -> "FieldSet":
        """Without the other's paths and everything below them (``RecursiveDifference``)."""
        new = FieldSet()
        new.members = self.members - other.members
        for element, child in self.children.items():
            if element in other.members:
                continue
            theirs = other.children.get(element)
            rest = child if theirs is None else child.without_below(theirs)
            if rest:
                new.children[element] = rest
        return new


EMPTY = FieldSet()


def touches(wire: Mapping[str, Any], fields: FieldSet) -> bool:
    """Is any of ``fields`` in a set in canonical wire form? Spares decoding it."""
    for element in fields.members:
        sub = wire.get(element)
        if sub is not None and (not sub or _SELF in sub):
            return True
    for element, child in fields.children.items():
        sub = wire.get(element)
        if sub and touches(sub, child):
            return True
    return False


def contains(wire: Mapping[str, Any], fields: FieldSet) -> bool:
    """Are all of ``fields`` in a set in canonical wire form?"""
    for element in fields.members:
        sub = wire.get(element)
        if sub is None or (sub and _SELF not in sub):
            return False
    for element, child in fields.children.items():
        sub = wire.get(element)
        if child and (not sub or not contains(sub, child)):
            return False
    return True


def field(name: str) -> str:
    """The element of a named field."""
    return "f:" + name


def item_key(values: Mapping[str, Any]) -> str:
    """The element of a map list's item with these key values."""
    return "k:" + orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


def item_value(value: Any) -> str:
    """The element of a set's item."""
    return "v:" + orjson.dumps(value).decode()


def union(sets: Iterable[FieldSet]) -> FieldSet:
    result = EMPTY
    for each in sets:
        result = result | each
    return result


def show_path(path: Path) -> str:
    """A path as conflicts name it: ``.spec.containers[name="c"].image``."""
    return "".join(_show(element) for element in path)


def _show(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "f":
        return "." + rest
    if kind == "k":
        pairs = orjson.loads(rest).items()
        return "[" + ",".join(f"{k}={orjson.dumps(v).decode()}" for k, v in pairs) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


def _normal(key: str) -> str:
    """A path element in canonical form; ValueError if it is none."""
    kind, separator, rest = key.partition(":")
    if not separator or kind not in _ORDER:
        raise ValueError(f"unrecognized path element {key!r}")
    if kind == "k":
        values = orjson.loads(rest)
        if not isinstance(values, dict):
            raise ValueError(f"missing key values in {key!r}")
        return item_key(values)
    if kind == "v":
        return item_value(orjson.loads(rest))
    if kind == "i":
        return f"i:{int(rest)}"
    return key


def _order(element: str) -> tuple[int, str]:
    return _ORDER[element[0]], element
