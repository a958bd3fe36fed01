"""Reading the parts that every object has (``metav1.ObjectMeta``), and the few common edits."""

import copy
from collections.abc import Mapping
from typing import Any

from sagong.api.types import Key, Obj


def name_of(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("name", ""))


def namespace_of(obj: Obj) -> str:
    """The namespace, or "" for cluster-scoped objects."""
    return str((obj.get("metadata") or {}).get("namespace", ""))


def key_of(obj: Obj) -> Key:
    return Key(namespace_of(obj), name_of(obj))


def uid_of(obj: Obj) -> str:
    return str(obj["metadata"].get("uid", ""))


def labels_of(obj: Obj) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Obj) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def finalizers_of(obj: Obj) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def owner_references_of(obj: Obj) -> list[Obj]:
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Obj) -> Obj | None:
    """The one owner reference with ``controller: true``, if any."""
    return next((ref for ref in owner_references_of(obj) if ref.get("controller")), None)


def controller_uid(obj: Obj) -> str:
    ref = controller_of(obj)
    return str(ref["uid"]) if ref else ""


def is_deleting(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def resource_version_of(obj: Obj) -> int:
    """The resource version as the integer that it is (KEP-5504); 0 if absent."""
    return int(obj["metadata"].get("resourceVersion") or 0)


def owner_reference(owner: Obj, *, controller: bool = True, block: bool = True) -> Obj:
    """A reference to an owner, as ``metav1.NewControllerRef`` makes it."""
    ref: Obj = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
    }
    if controller:
        ref["controller"] = True
    if block:
        ref["blockOwnerDeletion"] = True
    return ref


def condition(obj: Obj, type_: str) -> Obj | None:
    """The status condition of a type, if present."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == type_), None)


_ATOMS = frozenset((str, int, float, bool, type(None)))


def deep_copy(obj: Any) -> Any:
    """A copy of decoded JSON that may be changed. Many times faster than copy.deepcopy."""
    if isinstance(obj, dict):
        return {k: v if type(v) in _ATOMS else deep_copy(v) for k, v in obj.items()}
    if isinstance(obj, list):
        return [v if type(v) in _ATOMS else deep_copy(v) for v in obj]
    return obj if type(obj) in _ATOMS else copy.deepcopy(obj)
