"""JSON merge patch (RFC 7386)."""

from typing import Any

from sagong.api.errors import BadRequest


def apply_merge_patch(doc: Any, patch: Any) -> Any:
    """``doc`` with the patch merged in; shares parts with both. BadRequest if it is no object."""
    if not isinstance(patch, dict):
        raise BadRequest("Invalid JSON Patch")
    return _merge(doc, patch)


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
