"""Resource quotas."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_resources import validate_quantity_value, validate_resource_name
from sagong.server.kinds.strategy import Strategy


def default(quota: Obj) -> None:
    quota.setdefault("spec", {})
    quota.setdefault("status", {})


_SCOPES = (
    *("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating"),
    *("PriorityClass", "Terminating", "VolumeAttributesClass"),
)
_EXCLUSIVE = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


def validate(quota: Obj, errors: ErrorList) -> None:
    spec, path = quota["spec"], Path("spec")
    for name, value in (spec.get("hard") or {}).items():
        where = path.child("hard").key(name)
        validate_resource_name(name, where, errors)
        validate_quantity_value(name, value, where, errors)
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.invalid(path.child("scopes"), scopes, "unsupported scope")
    for one, other in _EXCLUSIVE:
        if one in scopes and other in scopes:
            errors.invalid(path.child("scopes"), scopes, "conflicting scopes")


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new["spec"].get("scopes") or [], old["spec"].get("scopes") or []
    checks.unchanged(sorted(ours), sorted(theirs), Path("spec").child("scopes"), errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    status = new.get("status") or {}
    for field in ("hard", "used"):
        for name, value in (status.get(field) or {}).items():
            where = Path("status").child(field).key(name)
            validate_resource_name(name, where, errors)
            validate_quantity_value(name, value, where, errors)


STRATEGY = Strategy(
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    default=default,
)
