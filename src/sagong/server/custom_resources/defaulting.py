"""Defaults of custom resources: what a schema names, where a value is absent or null in vain.

Source of semantics: apiextensions' ``apiserver/schema/defaulting``.
"""

import copy
from collections.abc import Callable
from typing import Any

from sagong.api.types import Obj

Fill = Callable[[Any], None]


def filler(schema: Obj) -> Fill | None:
    """A closure that fills a value in place; None if there is nothing to do below the schema."""
    if schema.get("type") == "array" or isinstance(schema.get("items"), dict):
        return _array_filler(schema.get("items"))
    fields = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return _map_filler(additional)
    return _object_filler(fields) if fields else None


def _array_filler(items: Any) -> Fill | None:
    fill = filler(items) if isinstance(items, dict) else None
    if fill is None:
        return None

    def run(value: Any) -> None:
        for item in value if isinstance(value, list) else ():
            fill(item)

    return run


def _map_filler(additional: Obj) -> Fill:
    fill, default = filler(additional), additional.get("default")
    nullable = bool(additional.get("nullable"))

    def run(value: Any) -> None:
        if not isinstance(value, dict):
            return
        for key in [k for k, v in value.items() if v is None and not nullable]:
            if default is None:
                del value[key]
            else:
                value[key] = copy.deepcopy(default)
        if fill is not None:
            for item in value.values():
                fill(item)

    return run


def _object_filler(fields: Obj) -> Fill:
    defaults = {name: sub["default"] for name, sub in fields.items() if "default" in sub}
    nullable = {name for name, sub in fields.items() if sub.get("nullable")}
    inner = {name: fill for name, sub in fields.items() if (fill := filler(sub)) is not None}

    def run(value: Any) -> None:
        if not isinstance(value, dict):
            return
        for name in [k for k in fields if k in value and value[k] is None and k not in nullable]:
            del value[name]
        for name, default in defaults.items():
            if name not in value:
                value[name] = copy.deepcopy(default)
        for name, fill in inner.items():
            if name in value:
                fill(value[name])

    return run


def has_defaults(schema: Any) -> bool:
    """Does any node of a schema have a default?"""
    if isinstance(schema, dict):
        if "default" in schema:
            return True
        below = [*(schema.get("properties") or {}).values()]
        below += [schema.get("items"), schema.get("additionalProperties")]
        return any(has_defaults(sub) for sub in below)
    return False
