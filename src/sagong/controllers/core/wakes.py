"""Mappers that several controllers of the core group share."""

from collections.abc import Iterable

from sagong.api.meta import namespace_of
from sagong.api.types import Key, Obj
from sagong.ctl.controller import Cache


def namespace_of_object(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """An object concerns its namespace."""
    obj = new or old
    return [Key("", namespace_of(obj))] if obj else []
