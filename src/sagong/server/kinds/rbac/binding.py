"""Role bindings and cluster role bindings: who has a role."""

from sagong.api.types import Obj
from sagong.server.kinds.rbac.validation import (
    validate_binding_update,
    validate_cluster_role_binding,
    validate_role_binding,
)
from sagong.server.kinds.strategy import Strategy

GROUP = "rbac.authorization.k8s.io"


def default(binding: Obj) -> None:
    reference = binding.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP
    for subject in binding.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


CLUSTER_ROLE_BINDING = Strategy(
    validate=validate_cluster_role_binding,
    validate_update=validate_binding_update,
    default=default,
    name_rule="path-segment",
    has_status=False,
    create_on_update=True,
)
ROLE_BINDING = Strategy(
    validate=validate_role_binding,
    validate_update=validate_binding_update,
    default=default,
    name_rule="path-segment",
    has_status=False,
    create_on_update=True,
)
