"""Carrying out JSON, merge and strategic merge patches on an object."""

from typing import Any

from sagong.api import errors
from sagong.api.call import Call, PatchType
from sagong.api.patches.json_patch import apply_json_patch
from sagong.api.patches.merge import apply_merge_patch
from sagong.api.patches.strategic import apply_strategic_patch
from sagong.api.schema import Node
from sagong.api.types import Obj

_SUPPORTED = "application/json-patch+json, application/merge-patch+json"


def patched(current: Obj, call: Call, node: Node | None) -> Obj:
    """The object after the call's patch; shares parts with both.

    ``node`` is the schema by which a strategic patch merges; custom resources have none that
    serves for that. Raises BadRequest, Invalid, UnsupportedMediaType.
    """
    new: Any
    if call.patch_type is PatchType.JSON:
        new = apply_json_patch(current, call.body)
    elif call.patch_type is PatchType.MERGE:
        new = apply_merge_patch(current, call.body)
    elif call.patch_type is PatchType.STRATEGIC and node is not None and node.go:
        new = apply_strategic_patch(current, call.body, node)
    else:
        raise errors.UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{_SUPPORTED}"
        )
    if not isinstance(new, dict):
        raise errors.BadRequest("the patched document is not an object")
    return new
