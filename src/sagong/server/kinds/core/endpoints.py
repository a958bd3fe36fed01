"""Endpoints (deprecated upstream in favour of EndpointSlice, still served)."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(endpoints: Obj) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


STRATEGY = Strategy(default=default, has_status=False)
