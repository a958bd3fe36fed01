"""Carrying out JSON, merge and strategic merge patches on an object."""

from typing import Any

from sagong.api import errors
from sagong.api.call import Call, PatchType
from sagong.api.types import Obj
from sagong.server.registry.served import Served


def patched(current: Obj, call: Call, served: Served) -> Obj:
    """The object after the call's patch. Raises BadRequest, Invalid, UnsupportedMediaType."""
    if call.patch_type in (PatchType.MERGE, PatchType.STRATEGIC):
        merged = _merge(current, call.body)
        assert isinstance(merged, dict)
        return merged
    raise errors.UnsupportedMediaType("patch type not supported")


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def patched_scale(current: Obj, call: Call) -> Obj:
    """A Scale after the call's patch."""
    return _merge(current, call.body)


def patched_pod(current: Obj, call: Call) -> Obj:
    """A pod after the call's patch of one of its parts."""
    return _merge(current, call.body)
