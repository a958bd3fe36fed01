"""Controller revisions."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("revision", 0)


STRATEGY = Strategy(default=default, has_status=False)
