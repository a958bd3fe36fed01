"""Priority classes."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("value", 0)
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


STRATEGY = Strategy(default=default, has_generation=True, has_status=False)
