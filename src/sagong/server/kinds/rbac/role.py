"""Roles and cluster roles: lists of rules."""

from sagong.api.types import Obj
from sagong.server.kinds.rbac.validation import validate_cluster_role, validate_role
from sagong.server.kinds.strategy import Strategy


def default(role: Obj) -> None:
    """``rules`` is always written, as null where there are none."""
    role.setdefault("rules", None)


CLUSTER_ROLE = Strategy(
    validate=validate_cluster_role,
    default=default,
    name_rule="path-segment",
    has_status=False,
    create_on_update=True,
)
ROLE = Strategy(
    validate=validate_role,
    default=default,
    name_rule="path-segment",
    has_status=False,
    create_on_update=True,
)
