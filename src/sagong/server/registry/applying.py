"""Server-side apply: the call's body as a configuration of its manager."""

from sagong.api import errors
from sagong.api.call import Call
from sagong.api.types import Obj
from sagong.server.registry.served import Served


def check_apply(call: Call) -> None:
    """An apply must name its manager. Raises Invalid."""
    if call.options.field_manager:
        return
    cause = {
        "reason": "FieldValueRequired",
        "message": "Required value: is required for apply patch",
        "field": "fieldManager",
    }
    raise errors.invalid("meta.k8s.io", "PatchOptions", "", [cause])


def apply_onto(current: Obj, call: Call, served: Served, now: float, warnings: list[str]) -> Obj:
    raise errors.UnsupportedMediaType("apply")


def created_by_apply(call: Call, served: Served, now: float, warnings: list[str]) -> Obj:
    raise errors.UnsupportedMediaType("apply")
