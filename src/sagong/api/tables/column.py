"""What a kind's table is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.types import Obj

# Cells of one object at a time (seconds since the epoch), one a column.
CellsOf = Callable[[Obj, float], list[Any]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column definition. Priority above 0 is shown only with ``-o wide``."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Obj:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Printer:
    """Columns and the function that fills them."""

    columns: Sequence[Column]
    cells: CellsOf
    # What is said of a row itself: that a pod will do nothing more.
    conditions: Callable[[Obj], list[Obj]] | None = None
    # In which order a list is shown, where not as it is stored.
    order: Callable[[Obj], Any] | None = None


NAME = Column("Name", format="name")
AGE = Column("Age")
CREATED_AT = Column("Created At", type="date")


def text(*names: str) -> list[Column]:
    """Plain columns."""
    return [Column(name) for name in names]


def integer(*names: str) -> list[Column]:
    return [Column(name, type="integer") for name in names]


def boolean(*names: str) -> list[Column]:
    return [Column(name, type="boolean") for name in names]


def wide(*names: str) -> list[Column]:
    """Columns that only ``-o wide`` shows."""
    return [Column(name, priority=1) for name in names]
