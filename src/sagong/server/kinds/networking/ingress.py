"""Ingresses."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(ingress: Obj) -> None:
    ingress.setdefault("status", {}).setdefault("loadBalancer", {})


def prepare_for_create(ingress: Obj) -> None:
    ingress["status"] = {"loadBalancer": {}}


STRATEGY = Strategy(default=default, prepare_for_create=prepare_for_create, has_generation=True)
