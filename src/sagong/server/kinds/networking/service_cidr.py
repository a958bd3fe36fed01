"""Service CIDRs: the ranges that cluster IPs come from."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("status", {})


STRATEGY = Strategy(default=default)
