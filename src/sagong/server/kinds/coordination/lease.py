"""Leases."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(lease: Obj) -> None:
    lease.setdefault("spec", {})


STRATEGY = Strategy(default=default, has_status=False, create_on_update=True)
