"""The syntax tree. ``pos`` is the offset (in code points) that an error about a node points at.

The checker writes ``type`` and, for calls, ``overloads``; ``Ident.name`` and ``Call`` are rewritten
where a qualified name (``optional.none``) turns out to be one.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sagong.api.cel.types import DYN, Type


class Expr:
    __slots__ = ("pos", "type")

    def __init__(self, pos: int) -> None:
        self.pos = pos
        self.type: Type = DYN

    def children(self) -> Iterator["Expr"]:
        return iter(())


class Const(Expr):
    __slots__ = ("value",)

    def __init__(self, pos: int, value: Any) -> None:
        super().__init__(pos)
        self.value = value


class Ident(Expr):
    __slots__ = ("name",)

    def __init__(self, pos: int, name: str) -> None:
        super().__init__(pos)
        self.name = name


class Select(Expr):
    """``operand.field``; ``test_only``: ``has(operand.field)``."""

    __slots__ = ("field", "operand", "qualified", "test_only")

    def __init__(self, pos: int, operand: Expr, field: str, *, test_only: bool = False) -> None:
        super().__init__(pos)
        self.operand = operand
        self.field = field
        self.test_only = test_only
        # The name of a variable or type, if that is what the whole of it turned out to be.
        self.qualified = ""

    def children(self) -> Iterator[Expr]:
        yield self.operand


class Call(Expr):
    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, pos: int, function: str, args: Sequence[Expr], target: Expr | None) -> None:
        super().__init__(pos)
        self.function = function
        self.args = list(args)
        self.target = target
        self.overloads: tuple[str, ...] = ()

    def operands(self) -> list[Expr]:
        """What the function is given, the receiver first."""
        return self.args if self.target is None else [self.target, *self.args]

    def children(self) -> Iterator[Expr]:
        return iter(self.operands())


class ListExpr(Expr):
    """``optional`` holds the indices of elements written ``?element``."""

    __slots__ = ("elements", "optional")

    def __init__(self, pos: int, elements: Sequence[Expr], optional: Sequence[int] = ()) -> None:
        super().__init__(pos)
        self.elements = list(elements)
        self.optional = frozenset(optional)

    def children(self) -> Iterator[Expr]:
        return iter(self.elements)


class Entry:
    """``key: value`` of a map literal, ``?key: value`` if optional."""

    __slots__ = ("key", "optional", "pos", "value")

    def __init__(self, pos: int, key: Expr, value: Expr, *, optional: bool) -> None:
        self.pos = pos
        self.key = key
        self.value = value
        self.optional = optional


class MapExpr(Expr):
    __slots__ = ("entries",)

    def __init__(self, pos: int, entries: Sequence[Entry]) -> None:
        super().__init__(pos)
        self.entries = list(entries)

    def children(self) -> Iterator[Expr]:
        for entry in self.entries:
            yield entry.key
            yield entry.value


class FieldInit:
    __slots__ = ("name", "optional", "pos", "value")

    def __init__(self, pos: int, name: str, value: Expr, *, optional: bool) -> None:
        self.pos = pos
        self.name = name
        self.value = value
        self.optional = optional


class StructExpr(Expr):
    """``Type.name{field: value}``."""

    __slots__ = ("fields", "name")

    def __init__(self, pos: int, name: str, fields: Sequence[FieldInit]) -> None:
        super().__init__(pos)
        self.name = name
        self.fields = list(fields)

    def children(self) -> Iterator[Expr]:
        return (field.value for field in self.fields)


class Comprehension(Expr):
    """A fold over a list's items or a map's keys (with ``iter_var2``: indices or keys, and values).

    ``accu_var`` starts as ``init``; while ``condition`` holds it becomes ``step`` for each item;
    the whole is ``result``.
    """

    __slots__ = (
        "accu_var", "condition", "init", "iter_range", "iter_var", "iter_var2", "result", "step",
    )  # fmt: skip

    def __init__(
        self, pos: int, iter_range: Expr, names: tuple[str, str, str], *, folded: tuple[Expr, ...]
    ) -> None:
        """``names``: of the (first, second or "", accumulating) variable; ``folded``: see above."""
        super().__init__(pos)
        self.iter_range = iter_range
        self.iter_var, self.iter_var2, self.accu_var = names
        self.init, self.condition, self.step, self.result = folded

    def children(self) -> Iterator[Expr]:
        return iter((self.iter_range, self.init, self.condition, self.step, self.result))
