"""Volume attachments."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("spec", {}).setdefault("source", {})
    obj.setdefault("status", {}).setdefault("attached", False)


def prepare_for_create(obj: Obj) -> None:
    obj["status"] = {"attached": False}


STRATEGY = Strategy(default=default, prepare_for_create=prepare_for_create)
