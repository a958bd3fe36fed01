"""Functions as an environment declares them: overloads with types, implementation and cost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.cel.types import Kind, Type
from sagong.api.cel.values import Duration, Timestamp, TypeValue, Uint, type_name

# What a call costs at run time, from its arguments.
ActualCost = Callable[[Sequence[Any]], int]


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature of a function. ``member``: called as ``first.name(others)``."""

    id: str
    args: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]
    member: bool = False
    # None: one unit.
    cost: ActualCost | None = None

    def accepts(self, values: Sequence[Any]) -> bool:
        """Do run-time values fit? Looked at where the checker could not know."""
        if len(values) != len(self.args):
            return False
        return all(_fits(value, type_) for value, type_ in zip(values, self.args, strict=True))


Functions = Mapping[str, Sequence[Overload]]

_PYTHON: Mapping[Kind, type] = {
    Kind.BOOL: bool,
    Kind.INT: int,
    Kind.UINT: Uint,
    Kind.DOUBLE: float,
    Kind.STRING: str,
    Kind.BYTES: bytes,
    Kind.LIST: list,
    Kind.MAP: dict,
    Kind.NULL: type(None),
    Kind.TIMESTAMP: Timestamp,
    Kind.DURATION: Duration,
    Kind.TYPE: TypeValue,
}


def _fits(value: Any, type_: Type) -> bool:
    wanted = _PYTHON.get(type_.kind)
    if wanted is not None:
        return type(value) is wanted
    if type_.kind in (Kind.OPAQUE, Kind.STRUCT):
        return type_name(value) == type_.name
    return True


class Declaring:
    """Collects the overloads of a library."""

    def __init__(self) -> None:
        self._found: dict[str, list[Overload]] = {}

    def function(
        self,
        name: str,
        id_: str,
        args: Iterable[Type],
        result: Type,
        call: Callable[..., Any],
        cost: ActualCost | None = None,
    ) -> None:
        """``name(args)``."""
        overload = Overload(id_, tuple(args), result, call, cost=cost)
        self._found.setdefault(name, []).append(overload)

    def member(
        self,
        name: str,
        id_: str,
        args: Iterable[Type],
        result: Type,
        call: Callable[..., Any],
        cost: ActualCost | None = None,
    ) -> None:
        """``first.name(others)``."""
        overload = Overload(id_, tuple(args), result, call, member=True, cost=cost)
        self._found.setdefault(name, []).append(overload)

    def functions(self) -> dict[str, list[Overload]]:
        return self._found


def merged(*libraries: Functions) -> dict[str, tuple[Overload, ...]]:
    """Functions of several libraries together; overloads of one name stand side by side."""
    found: dict[str, tuple[Overload, ...]] = {}
    for library in libraries:
        for name, overloads in library.items():
            found[name] = found.get(name, ()) + tuple(overloads)
    return found
