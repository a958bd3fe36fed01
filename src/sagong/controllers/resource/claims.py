"""ResourceClaims in the words that their controllers share. Pure.

Semantics: upstream's ``dynamic-resource-allocation/resourceclaim``.
"""

from collections.abc import Mapping

from sagong.api.meta import is_deleting, uid_of
from sagong.api.pods import is_finished
from sagong.api.types import Obj

CLAIMS = "resourceclaims.resource.k8s.io"
TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
PROTECTION = "resource.kubernetes.io/delete-protection"
RESERVED_FOR_MAX = 256


def told_names(pod: Obj) -> Mapping[str, str]:
    """By entry of spec.resourceClaims the name of its claim; "": it needs none."""
    names = {
        entry["name"]: str(entry["resourceClaimName"])
        for entry in pod["spec"].get("resourceClaims") or ()
        if entry.get("resourceClaimName")
    }
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        names.setdefault(status["name"], str(status.get("resourceClaimName") or ""))
    return names


def is_reserved_for(claim: Obj, pod: Obj) -> bool:
    users = (claim.get("status") or {}).get("reservedFor") or ()
    return any(user["uid"] == uid_of(pod) for user in users)


def can_reserve(claim: Obj) -> bool:
    """Whether one more pod may use the allocated claim."""
    status = claim.get("status") or {}
    users = status.get("reservedFor") or ()
    return bool(status.get("allocation")) and len(users) < RESERVED_FOR_MAX


def is_done(pod: Obj) -> bool:
    """Whether the pod will not use a claim any more."""
    return is_finished(pod) or (is_deleting(pod) and not pod["spec"].get("nodeName"))
