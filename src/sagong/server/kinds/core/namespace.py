"""Namespaces. Deleting one waits for ``spec.finalizers``, which only ``/finalize`` changes."""

from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.object_meta import validate_kubernetes_finalizer
from sagong.server.kinds.strategy import Strategy

NAME_LABEL = "kubernetes.io/metadata.name"


def default(namespace: Obj) -> None:
    """The name is always a label, so that selectors can name a namespace."""
    name = namespace["metadata"].get("name")
    if name:
        labels = namespace["metadata"].get("labels") or {}
        labels[NAME_LABEL] = name
        namespace["metadata"]["labels"] = labels
    if not (namespace.get("status") or {}).get("phase"):
        namespace.setdefault("status", {})["phase"] = "Active"
    namespace.setdefault("spec", {})


def prepare_for_create(namespace: Obj) -> None:
    namespace["status"] = {"phase": "Active"}
    finalizers = (namespace.setdefault("spec", {})).get("finalizers") or []
    if "kubernetes" not in finalizers:
        namespace["spec"]["finalizers"] = [*finalizers, "kubernetes"]


def prepare_for_update(new: Obj, old: Obj) -> None:
    new["spec"] = dict(new.get("spec") or {})
    finalizers = (old.get("spec") or {}).get("finalizers")
    if finalizers:
        new["spec"]["finalizers"] = finalizers
    else:
        new["spec"].pop("finalizers", None)
    new["status"] = old.get("status") or {"phase": "Active"}


def selectable_fields(namespace: Obj) -> Mapping[str, str]:
    return {"status.phase": (namespace.get("status") or {}).get("phase", "")}


def validate(namespace: Obj, errors: ErrorList) -> None:
    where = Path("spec").child("finalizers")
    for finalizer in (namespace.get("spec") or {}).get("finalizers") or ():
        checks.qualified_name(finalizer, where, errors)
        validate_kubernetes_finalizer(finalizer, where, errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """A namespace is Terminating exactly if it is being deleted."""
    phase = (new.get("status") or {}).get("phase")
    deleting = bool(new["metadata"].get("deletionTimestamp"))
    where = Path("status").child("phase")
    if deleting and phase != "Terminating":
        message = "may only be 'Terminating' if `deletionTimestamp` is not empty"
        errors.invalid(where, phase, message)
    elif not deleting and phase != "Active":
        errors.invalid(where, phase, "may only be 'Active' if `deletionTimestamp` is empty")


STRATEGY = Strategy(
    validate=validate,
    validate_status_update=validate_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    prepare_for_update=prepare_for_update,
    selectable_fields=selectable_fields,
    selectable_field_names=("status.phase",),
    name_rule="label",
)
