"""Field errors and paths: how validation says what is wrong, as apimachinery's ``field`` package.

A validator is a plain function ``validate(obj, path, errors)``; it appends to ``errors`` and
never raises. The server turns a non-empty list into one ``Invalid``.
"""

from typing import Any

import orjson

from sagong.api.types import Obj

# Children that a path remembers. Names come from validators, which know so many fields at most;
# what a client can name (keys, indexes far out) is made anew each time.
CHILDREN_MAX = 256
INDEXES_KEPT = 32


class Path:
    """A field path: ``Path("spec").child("containers").index(0)`` is ``spec.containers[0]``.

    Immutable. Its text is put together only when asked for: validators name every field they look
    at, and few are wrong. For the same reason there is one path for each field: it is looked up.
    """

    __slots__ = ("_children", "_indexes", "_parent", "_part")
    _children: dict[str, "Path"]
    _indexes: list["Path"]
    _parent: "Path | None"
    _part: str

    def __new__(cls, text: str = "", parent: "Path | None" = None) -> "Path":
        """``text`` follows that of the parent as it is, with its own dot or bracket."""
        if parent is None:
            known = _ROOTS.get(text)
            if known is not None:
                return known
        path = super().__new__(cls)
        path._part = text
        path._parent = parent
        path._children = {}
        path._indexes = []
        if parent is None and len(_ROOTS) < CHILDREN_MAX:
            _ROOTS[text] = path
        return path

    @property
    def text(self) -> str:
        parts = []
        path: Path | None = self
        while path is not None:
            parts.append(path._part)
            path = path._parent
        return "".join(reversed(parts)).removeprefix(".")

    def child(self, *names: str) -> "Path":
        path = self
        for name in names:
            path = path._children.get(name) or path._add(name)
        return path

    def _add(self, name: str) -> "Path":
        path = Path("." + name, self)
        if len(self._children) < CHILDREN_MAX:
            self._children[name] = path
        return path

    def index(self, i: int) -> "Path":
        indexes = self._indexes
        if i >= INDEXES_KEPT:
            return Path(f"[{i}]", self)
        while len(indexes) <= i:
            indexes.append(Path(f"[{len(indexes)}]", self))
        return indexes[i]

    def key(self, key: str) -> "Path":
        return Path(f"[{key}]", self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text or "<nil>"

    def __repr__(self) -> str:
        return f"Path({self.text!r})"


_ROOTS: dict[str, Path] = {}


def show_value(value: Any) -> str:
    """A bad value as upstream prints it: strings quoted, containers as JSON, null as null."""
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)) or value is None:
        return orjson.dumps(_as_in_go(value)).decode()
    return str(value)


def _as_in_go(value: Any) -> Any:
    """Maps by their keys, as Go writes them; structs in the order of their fields.

    A map of the API is one of texts. What stands for an internal type has Go's names.
    """
    if isinstance(value, list):
        return [_as_in_go(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_map = all(isinstance(item, str) for item in value.values())
    if is_map and not all(key[:1].isupper() for key in value):
        return dict(sorted(value.items()))
    return {key: _as_in_go(item) for key, item in value.items()}


class ErrorList(list[Obj]):
    """Causes of a Status, in the order in which they were found."""

    def add(self, reason: str, path: Path, message: str) -> None:
        self.append({"reason": reason, "message": message, "field": str(path)})

    def required(self, path: Path, detail: str = "") -> None:
        self.add("FieldValueRequired", path, "Required value" + (f": {detail}" if detail else ""))

    def invalid(self, path: Path, value: Any, detail: str) -> None:
        self.add("FieldValueInvalid", path, f"Invalid value: {show_value(value)}: {detail}")

    def invalid_as_a_whole(self, path: Path, detail: str) -> None:
        """Wrong, but the value is not shown (upstream's ``OmitValueType``)."""
        self.add("FieldValueInvalid", path, f"Invalid value: {detail}")

    def not_supported(self, path: Path, value: Any, supported: list[str]) -> None:
        """``supported`` in the order to be shown (upstream sorts string sets, keeps slices)."""
        names = ", ".join(f'"{s}"' for s in supported)
        detail = f"Unsupported value: {show_value(value)}"
        self.add("FieldValueNotSupported", path, f"{detail}: supported values: {names}")

    def duplicate(self, path: Path, value: Any) -> None:
        self.add("FieldValueDuplicate", path, f"Duplicate value: {show_value(value)}")

    def not_found(self, path: Path, value: Any) -> None:
        self.add("FieldValueNotFound", path, f"Not found: {show_value(value)}")

    def forbidden(self, path: Path, detail: str) -> None:
        self.add("FieldValueForbidden", path, f"Forbidden: {detail}")

    def too_long(self, path: Path, max_length: int) -> None:
        self.add("FieldValueTooLong", path, f"Too long: may not be more than {max_length} bytes")

    def too_many(self, path: Path, count: int, max_count: int) -> None:
        message = f"Too many: {count}: must have at most {max_count} items"
        self.add("FieldValueTooMany", path, message)

    def internal(self, path: Path, detail: str) -> None:
        self.add("InternalError", path, f"Internal error: {detail}")
