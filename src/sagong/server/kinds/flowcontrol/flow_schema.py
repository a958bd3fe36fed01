"""Flow schemas: which requests belong together."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    obj.setdefault("status", {})


_SPEC = Path("spec")
_PRECEDENCE_MAX = 10000
_KINDS = ("Group", "ServiceAccount", "User")


def validate(obj: Obj, errors: ErrorList) -> None:
    spec = obj["spec"]
    precedence, where = spec.get("matchingPrecedence") or 0, _SPEC.child("matchingPrecedence")
    if precedence <= 0:
        errors.invalid(where, precedence, "must be a positive value")
    if precedence > _PRECEDENCE_MAX:
        message = f"must not be greater than {_PRECEDENCE_MAX}"
        errors.invalid(where, precedence, message)
    name = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    where = _SPEC.child("priorityLevelConfiguration", "name")
    if not name:
        errors.required(where, "must reference a priority level")
    else:
        checks.dns_subdomain(name, where, errors)
    method = spec.get("distinguisherMethod")
    if method is not None:
        methods = ("ByNamespace", "ByUser")
        checks.one_of(method.get("type"), methods, _SPEC.child("distinguisherMethod"), errors)
    for i, rule in enumerate(spec.get("rules") or ()):
        _validate_rule(rule, _SPEC.child("rules").index(i), errors)


def _validate_rule(rule: Obj, path: Path, errors: ErrorList) -> None:
    message = "subjects must contain at least one value"
    checks.required(rule.get("subjects"), path.child("subjects"), errors, message)
    for i, subject in enumerate(rule.get("subjects") or ()):
        kind, at = subject.get("kind") or "", path.child("subjects").index(i)
        if not checks.one_of(kind, _KINDS, at.child("kind"), errors):
            continue
        field = kind[0].lower() + kind[1:]
        if subject.get(field) is None:
            errors.required(at.child(field), f"{field} is required when subject kind is '{kind}'")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        message = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.required(path, message)
    for field, lists in (
        ("resourceRules", ("verbs", "apiGroups", "resources")),
        ("nonResourceRules", ("verbs", "nonResourceURLs")),
    ):
        for i, policy in enumerate(rule.get(field) or ()):
            for name in lists:
                checks.required(policy.get(name), path.child(field).index(i).child(name), errors)


STRATEGY = Strategy(validate=validate, default=default, has_generation=True)
