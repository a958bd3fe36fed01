"""Lists that merge by what they are declared to be (``x-kubernetes-list-type``): sets and maps.

Two sets are equal whatever their order; ``+`` of two sets is their union, of two maps the first's
items, each replaced by the second's item of the same keys, then the second's others.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sagong.api.cel.errors import no_such_overload
from sagong.api.cel.types import Type
from sagong.api.cel.values import equal

Operation = Callable[[Any, Any], Any]


def same_list(type_: Type) -> Callable[[Any, Any], bool] | None:
    """``==`` for lists of a declared type; None if the usual one holds."""
    if type_.list_type not in ("set", "map"):
        return None
    identify = _identity(type_)

    def same(a: Any, b: Any) -> bool:
        if type(a) is not list or type(b) is not list:
            return False
        if len(a) != len(b):
            return False
        theirs = [(identify(item), item) for item in b]
        return all(
            any(equal(identify(item), key) and equal(item, other) for key, other in theirs)
            for item in a
        )

    return same


def united(type_: Type) -> Operation | None:
    """``+`` for lists of a declared type; None if they are simply joined."""
    if type_.list_type not in ("set", "map"):
        return None
    identify = _identity(type_)

    def unite(a: Any, b: Any) -> Any:
        if type(a) is not list or type(b) is not list:
            raise no_such_overload()
        merged = list(a)
        keys = [identify(item) for item in merged]
        for item in b:
            key = identify(item)
            at = next((i for i, known in enumerate(keys) if equal(known, key)), None)
            if at is None:
                merged.append(item)
                keys.append(key)
            else:
                merged[at] = item
        return merged

    return unite


def _identity(type_: Type) -> Callable[[Any], Any]:
    keys: Sequence[str] = type_.list_keys
    if type_.list_type == "set":
        return lambda item: item
    return lambda item: [item.get(key) for key in keys] if isinstance(item, dict) else item
