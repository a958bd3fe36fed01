"""Resource quotas."""

from collections.abc import Collection, Sequence

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_resources import (
    is_standard_quota,
    validate_quantity_value,
    validate_quota_resource_name,
)
from sagong.server.kinds.strategy import Strategy


def default(quota: Obj) -> None:
    quota.setdefault("spec", {})
    quota.setdefault("status", {})


_SCOPES = (
    *("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating"),
    *("PriorityClass", "Terminating", "VolumeAttributesClass"),
)
_ONLY_EXISTS_WORDS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_EXCLUSIVE = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


_ONLY_EXISTS = (
    *("BestEffort", "NotBestEffort", "Terminating", "NotTerminating"),
    "CrossNamespacePodAffinity",
)
_SCOPED = (
    *("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"),
)


def validate(quota: Obj, errors: ErrorList) -> None:
    spec, path = quota["spec"], Path("spec")
    for name, value in (spec.get("hard") or {}).items():
        where = path.child("hard").key(name)
        validate_quota_resource_name(name, where, errors)
        validate_quantity_value(name, value, where, errors)
    scopes = spec.get("scopes") or []
    where = path.child("scopes")
    for scope in scopes:
        if scope not in _SCOPES:
            errors.invalid(where, scopes, "unsupported scope")
        for _ in _out_of_scope(scope, spec):
            errors.invalid(where, scopes, "unsupported scope applied to resource")
    _validate_exclusive(scopes, scopes, where, errors)
    if spec.get("scopeSelector") is not None:
        _validate_selector(spec, path.child("scopeSelector", "matchExpressions"), errors)


def _out_of_scope(scope: str, spec: Obj) -> list[str]:
    """Standard resources that a scope says nothing of."""
    names = [n for n in sorted(spec.get("hard") or ()) if is_standard_quota(n)]
    if scope == "BestEffort":
        return [n for n in names if n != "pods"]
    if scope == "VolumeAttributesClass":
        claims = ("persistentvolumeclaims", "requests.storage")
        return [n for n in names if n not in claims]
    if scope in _SCOPES:
        return [n for n in names if n not in _SCOPED]
    return []


def _validate_exclusive(
    named: Collection[str], shown: Sequence[str] | None, path: Path, errors: ErrorList
) -> None:
    for one, other in _EXCLUSIVE:
        if one in named and other in named:
            errors.invalid(path, shown, "conflicting scopes")


def _validate_selector(spec: Obj, path: Path, errors: ErrorList) -> None:
    """Its requirements; upstream's paths do not say which of them."""
    requirements = spec["scopeSelector"].get("matchExpressions") or []
    for requirement in requirements:
        scope, operator = requirement.get("scopeName") or "", requirement.get("operator") or ""
        values = requirement.get("values") or []
        if scope not in _SCOPES:
            errors.invalid(path.child("scopeName"), scope, "unsupported scope")
        for _ in _out_of_scope(scope, spec):
            shown = {"MatchExpressions": [_in_go(r) for r in requirements]}
            errors.invalid(path, shown, "unsupported scope applied to resource")
        if scope in _ONLY_EXISTS and operator != "Exists":
            errors.invalid(path.child("operator"), operator, _ONLY_EXISTS_WORDS)
        if operator in ("In", "NotIn"):
            message = "must be at least one value when `operator` is 'In' or 'NotIn' for scope "
            checks.required(values, path.child("values"), errors, f"{message}selector")
        elif operator not in ("Exists", "DoesNotExist"):
            errors.invalid(path.child("operator"), operator, "not a valid selector operator")
        elif values:
            message = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
            errors.invalid(path.child("values"), values, f"{message}selector")
    named = [r.get("scopeName") for r in requirements]
    _validate_exclusive(named, spec.get("scopes"), path, errors)


def _in_go(requirement: Obj) -> Obj:
    """A requirement as upstream shows it: its internal type, by Go's field names."""
    return {
        "ScopeName": requirement.get("scopeName") or "",
        "Operator": requirement.get("operator") or "",
        "Values": requirement.get("values"),
    }


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    ours, theirs = new["spec"].get("scopes") or [], old["spec"].get("scopes") or []
    checks.unchanged(sorted(ours), sorted(theirs), Path("spec").child("scopes"), errors)


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    status = new.get("status") or {}
    for field in ("hard", "used"):
        for name, value in (status.get(field) or {}).items():
            where = Path("status").child(field).key(name)
            validate_quota_resource_name(name, where, errors)
            validate_quantity_value(name, value, where, errors)


STRATEGY = Strategy(
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    default=default,
)
