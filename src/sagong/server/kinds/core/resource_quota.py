"""Resource quotas."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(quota: Obj) -> None:
    quota.setdefault("spec", {})
    quota.setdefault("status", {})


STRATEGY = Strategy(default=default)
