"""Tables of custom resources: the definition's additional printer columns.

Source of semantics: apiextensions' ``registry/customresource/tableconvertor``.
"""

from collections.abc import Sequence
from typing import Any

from sagong.api.jsonpath import JsonPath, printed
from sagong.api.tables.cells import name as name_cell
from sagong.api.tables.cells import since
from sagong.api.tables.column import NAME, Column, Printer
from sagong.api.types import Obj

# What a definition without columns of its own shows.
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def printer(columns: Sequence[Obj] | None) -> Printer:
    """The printer of one version; columns whose path is not understood stay empty."""
    given = columns or [_AGE]
    shown = [NAME, *(_column(column) for column in given)]
    paths = [(column.get("type") or "string", _path(column)) for column in given]

    def cells(obj: Obj, now: float) -> list[Any]:
        return [name_cell(obj), *(_cell(type_, path, obj, now) for type_, path in paths)]

    return Printer(shown, cells)


def _column(column: Obj) -> Column:
    described = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    return Column(
        column["name"],
        column.get("type") or "string",
        column.get("format") or "",
        column.get("priority") or 0,
        column.get("description") or described,
    )


def _path(column: Obj) -> JsonPath | None:
    try:
        return JsonPath(column["jsonPath"])
    except ValueError:
        return None


def _cell(type_: str, path: JsonPath | None, obj: Obj, now: float) -> Any:
    found = path.find(obj) if path is not None else []
    if not found or found[0] is None:
        return None
    value = found[0]
    if type_ == "string":
        return printed([value])
    if type_ == "date":
        return _date(value, now)
    if type_ == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if type_ == "integer" else float(value)


def _date(value: Any, now: float) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        return since(value, now)
    except ValueError:
        return "<invalid>"
