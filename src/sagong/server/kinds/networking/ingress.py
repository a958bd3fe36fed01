"""Ingresses."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList
from sagong.server.kinds.networking.ingress_validation import (
    validate_ingress,
    validate_ingress_create,
    validate_ingress_status_update,
)
from sagong.server.kinds.strategy import Strategy


def default(ingress: Obj) -> None:
    ingress.setdefault("status", {}).setdefault("loadBalancer", {})


def prepare_for_create(ingress: Obj) -> None:
    ingress["status"] = {"loadBalancer": {}}


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    validate_ingress(new, errors)


_CLASS_ANNOTATION = "kubernetes.io/ingress.class"


def warnings(new: Obj, old: Obj | None) -> list[str]:
    """The class in an annotation is deprecated; said when the object is made."""
    if old is None and _CLASS_ANNOTATION in (new["metadata"].get("annotations") or {}):
        use = "please use 'spec.ingressClassName' instead"
        return [f'annotation "{_CLASS_ANNOTATION}" is deprecated, {use}']
    return []


STRATEGY = Strategy(
    warnings=warnings,
    validate=validate_ingress_create,
    validate_update=validate_update,
    # On update both ways of naming the class may stand side by side, as they may be found so.
    validates_on_update=False,
    validate_status_update=validate_ingress_status_update,
    default=default,
    prepare_for_create=prepare_for_create,
    has_generation=True,
)
