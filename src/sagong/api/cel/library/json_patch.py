"""JSON patches in mutations (Kubernetes' ``library/jsonpatch.go``) and their map helper."""

from typing import Any

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.operators import show_key
from sagong.api.cel.types import DYN, STRING, Field, Type, map_of, param, struct
from sagong.api.cel.values import to_key

_K, _V = param("K"), param("V")

JSON_PATCH: Type = struct(
    "JSONPatch",
    {
        "op": Field("op", STRING),
        "path": Field("path", STRING),
        "from": Field("from", STRING),
        "value": Field("value", DYN),
    },
)


def functions() -> dict[str, list[Overload]]:
    """``jsonpatch.escapeKey``, and what ``transformMap`` expands to."""
    declaring = Declaring()
    declaring.function(
        "jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", (STRING,), STRING,
        lambda key: key.replace("~", "~0").replace("/", "~1"), costs.reads_first,
    )  # fmt: skip
    map_ = map_of(_K, _V)
    declaring.function("cel.@mapInsert", "@mapInsert_map_key_value", (map_, _K, _V), map_, _insert)
    declaring.function("cel.@mapInsert", "@mapInsert_map_map", (map_, map_), map_, _insert_all)
    return declaring.functions()


def _insert(found: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    """Into the map itself: it is the accumulator of a fold, which nobody else sees."""
    kept = to_key(key)
    if kept in found:
        raise EvaluationError(f"insert failed: key {show_key(key)} already exists")
    found[kept] = value
    return found


def _insert_all(found: dict[Any, Any], more: dict[Any, Any]) -> dict[Any, Any]:
    for key in more:
        if key in found:
            raise EvaluationError(f"insert failed: key {show_key(key)} already exists")
    found.update(more)
    return found
