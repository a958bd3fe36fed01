"""Custom resource definitions."""

from sagong.api.types import Obj
from sagong.server.custom_resources.names import FINALIZER, merged, terminating
from sagong.server.kinds.apiextensions.validation import (
    validate_definition,
    validate_definition_update,
)
from sagong.server.kinds.strategy import Strategy


def default(crd: Obj) -> None:
    spec = crd.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if not names.get("singular"):
        names["singular"] = names.get("kind", "").lower()
    if not names.get("listKind") and names.get("kind"):
        names["listKind"] = names["kind"] + "List"
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    service = ((spec["conversion"].get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None and service.get("port") is None:
        service["port"] = 443
    status = crd.setdefault("status", {})
    status.setdefault("conditions", None)
    accepted = status.setdefault("acceptedNames", {"plural": "", "kind": ""})
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    if not status.get("storedVersions"):
        status["storedVersions"] = None


def prepare_for_create(crd: Obj) -> None:
    """The storage version is the first one that objects are stored in."""
    status: Obj = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}}
    status["storedVersions"] = _storage_versions(crd) or None
    crd["status"] = status


def prepare_for_update(new: Obj, old: Obj) -> None:
    """A new storage version is recorded; old ones stay until someone has migrated the objects."""
    status = dict(old.get("status") or {})
    stored = list(status.get("storedVersions") or ())
    stored += [name for name in _storage_versions(new) if name not in stored]
    status["storedVersions"] = stored
    new["status"] = status


def _storage_versions(crd: Obj) -> list[str]:
    return [v["name"] for v in crd["spec"].get("versions") or () if v.get("storage")]


def begin_deletion(crd: Obj, now: str) -> None:
    """The definition stays until its objects are gone."""
    finalizers = crd["metadata"].setdefault("finalizers", [])
    if FINALIZER not in finalizers:
        finalizers.append(FINALIZER)
    message = "CustomResourceDefinition marked for deletion; "
    message += "CustomResource deletion will begin soon"
    status = crd.setdefault("status", {})
    found = terminating("InstanceDeletionPending", message)
    status["conditions"] = merged(status.get("conditions") or (), [found], now=now)


STRATEGY = Strategy(
    begin_deletion=begin_deletion,
    validate=validate_definition,
    validate_update=validate_definition_update,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    has_generation=True,
)
