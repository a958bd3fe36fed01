"""Ingress classes."""

from sagong.api.types import Obj
from sagong.server.kinds.networking.ingress_validation import (
    validate_ingress_class,
    validate_ingress_class_update,
)
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    parameters = obj.setdefault("spec", {}).get("parameters")
    if parameters is not None and not parameters.get("scope"):
        parameters["scope"] = "Cluster"


STRATEGY = Strategy(
    validate=validate_ingress_class,
    validate_update=validate_ingress_class_update,
    default=default,
    has_generation=True,
    has_status=False,
)
