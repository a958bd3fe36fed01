"""Roles and cluster roles: lists of rules."""

from sagong.api.types import Obj
from sagong.server.kinds.strategy import Strategy


def default(role: Obj) -> None:
    """``rules`` is always written, as null where there are none."""
    role.setdefault("rules", None)


CLUSTER_ROLE = Strategy(default=default, name_rule="path-segment", has_status=False)
ROLE = Strategy(default=default, name_rule="path-segment", has_status=False)
