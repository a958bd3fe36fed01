"""Where a namespace is in its life."""

from sagong.api.meta import is_deleting
from sagong.api.types import Obj


def is_active(namespace: Obj) -> bool:
    phase = (namespace.get("status") or {}).get("phase") or "Active"
    return not is_deleting(namespace) and phase == "Active"
