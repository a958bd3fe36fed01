"""Optional values (cel-go's ``OptionalTypes``): ``optional.of``, ``?.``, ``[?]``, ``orValue``."""

from typing import Any

from sagong.api.cel import operators
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.types import BOOL, INT, list_of, map_of, optional_of, param
from sagong.api.cel.values import NONE, Optional, is_zero

_V, _K = param("V"), param("K")


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    optional = optional_of(_V)
    declaring.function("optional.of", "optional_of", (_V,), optional, Optional)
    declaring.function("optional.none", "optional_none", (), optional, lambda: NONE)
    declaring.function(
        "optional.ofNonZeroValue", "optional_ofNonZeroValue", (_V,), optional, _non_zero
    )
    unwrapped = (list_of(optional),)
    declaring.function("optional.unwrap", "optional_unwrap", unwrapped, list_of(_V), _unwrap)
    declaring.member("unwrapOpt", "optional_unwrapOpt", unwrapped, list_of(_V), _unwrap)
    declaring.member("hasValue", "optional_hasValue", (optional,), BOOL, lambda o: o.present)
    declaring.member("value", "optional_value", (optional,), _V, _value)
    # Evaluated by closures of their own: what is not needed is not looked at.
    declaring.member("or", "optional_or_optional", (optional, optional), optional, _never)
    declaring.member("orValue", "optional_orValue_value", (optional, _V), _V, _never)
    _access(declaring)
    return declaring.functions()


def _access(declaring: Declaring) -> None:
    list_, map_ = list_of(_V), map_of(_K, _V)
    optional = optional_of(_V)
    for name, wrapped in (("_[?_]", False), ("_[?_]", True), ("_[_]", True)):
        for container, key in ((list_, INT), (map_, _K)):
            given = optional_of(container) if wrapped else container
            id_ = f"{'optional_' if wrapped else ''}{container.name}_{name}"
            declaring.function(name, id_, (given, key), optional, operators.optional_index)


def _never(*args: Any) -> Any:
    raise AssertionError("or and orValue are not called")


def _non_zero(value: Any) -> Optional:
    return NONE if is_zero(value) else Optional(value)


def _unwrap(values: list[Any]) -> list[Any]:
    return [optional.value for optional in values if optional.present]


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value
