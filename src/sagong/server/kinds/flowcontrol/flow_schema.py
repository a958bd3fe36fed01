"""Flow schemas: which requests belong together."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    obj.setdefault("status", {})


STRATEGY = Strategy(default=default, has_generation=True)
