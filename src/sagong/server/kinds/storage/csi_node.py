"""CSI nodes."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    """``drivers`` and their ``topologyKeys`` are always written."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("drivers", None)
    for driver in spec["drivers"] or ():
        driver.setdefault("topologyKeys", None)


STRATEGY = Strategy(default=default, has_status=False)
