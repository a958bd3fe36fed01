"""Flow schemas: which requests belong together."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.meta import deep_copy
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.bootstrap.policy.flow_control import FLOW_SCHEMAS
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy

_SPEC = Path("spec")
_PRECEDENCE_MAX = 10000
_KINDS = ("Group", "ServiceAccount", "User")
_MANDATORY = ("exempt", "catch-all")
_VERBS = (
    *("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update"),
    "watch",
)
_NAMESPACE_INTRODUCTION = "each member of this list must be '*' or a DNS-1123 label; "


def default(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000
    obj.setdefault("status", {})


def validate(obj: Obj, errors: ErrorList) -> None:
    spec, own_name = obj["spec"], obj["metadata"].get("name") or ""
    _validate_precedence(spec, own_name, errors)
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        where = _SPEC.child("distinguisherMethod", "type")
        shown = {"Type": method.get("type") or ""}
        errors.not_supported(where, shown, ["ByNamespace", "ByUser"])
    name = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    where = _SPEC.child("priorityLevelConfiguration", "name")
    if checks.required(name, where, errors, "must reference a priority level"):
        checks.dns_subdomain(name, where, errors)
    for i, rule in enumerate(spec.get("rules") or ()):
        _validate_rule(rule, _SPEC.child("rules").index(i), errors)
    if own_name in _MANDATORY:
        fixed = {"spec": deep_copy(FLOW_SCHEMAS[own_name])}
        default(fixed)
        if spec != fixed["spec"]:
            errors.invalid(_SPEC, spec, f"spec of '{own_name}' must equal the fixed value")


def _validate_precedence(spec: Obj, own_name: str, errors: ErrorList) -> None:
    precedence, where = spec.get("matchingPrecedence") or 0, _SPEC.child("matchingPrecedence")
    if precedence <= 0:
        errors.invalid(where, precedence, "must be a positive value")
    if precedence > _PRECEDENCE_MAX:
        message = f"must not be greater than {_PRECEDENCE_MAX}"
        errors.invalid(where, precedence, message)
    if precedence == 1 and own_name != "exempt":
        message = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.invalid(where, precedence, message)


def _validate_rule(rule: Obj, path: Path, errors: ErrorList) -> None:
    message = "subjects must contain at least one value"
    checks.required(rule.get("subjects"), path.child("subjects"), errors, message)
    for i, subject in enumerate(rule.get("subjects") or ()):
        _validate_subject(subject, path.child("subjects").index(i), errors)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        message = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.required(path, message)
    for i, policy in enumerate(rule.get("resourceRules") or ()):
        _validate_resource_rule(policy, path.child("resourceRules").index(i), errors)
    for i, policy in enumerate(rule.get("nonResourceRules") or ()):
        _validate_url_rule(policy, path.child("nonResourceRules").index(i), errors)


def _validate_subject(subject: Obj, path: Path, errors: ErrorList) -> None:
    """The field of the subject's kind is there, the others are not."""
    kind = subject.get("kind") or ""
    if not checks.one_of(kind, _KINDS, path.child("kind"), errors):
        return
    for other in _KINDS:
        field = other[0].lower() + other[1:]
        value, where = subject.get(field), path.child(field)
        if other != kind:
            if value is not None:
                message = f"{field} is forbidden when subject kind is not '{other}'"
                errors.forbidden(where, message)
        elif value is None:
            errors.required(where, f"{field} is required when subject kind is '{kind}'")
        elif kind == "ServiceAccount":
            _validate_account(value, where, errors)
        else:
            checks.required(value.get("name"), where.child("name"), errors)


def _validate_account(account: Obj, path: Path, errors: ErrorList) -> None:
    name, where = account.get("name") or "", path.child("name")
    if checks.required(name, where, errors) and name != "*":
        checks.dns_subdomain(name, where, errors)
    namespace, where = account.get("namespace") or "", path.child("namespace")
    message = "must specify namespace for service account"
    if checks.required(namespace, where, errors, message):
        checks.dns_label(namespace, where, errors)


def _validate_words(words: Sequence[str], what: str, path: Path, errors: ErrorList) -> bool:
    """Everything, or what is named; says whether words are named."""
    if "*" not in words:
        return True
    if len(words) > 1:
        errors.invalid(path, words, f"if '*' is present, must not specify other {what}")
    return False


def _validate_verbs(rule: Obj, path: Path, errors: ErrorList) -> None:
    verbs, where = rule.get("verbs") or [], path.child("verbs")
    if not checks.required(verbs, where, errors, "verbs must contain at least one value"):
        return
    if _validate_words(verbs, "verbs", where, errors) and not set(verbs) <= set(_VERBS):
        errors.not_supported(where, verbs, list(_VERBS))


def _validate_resource_rule(rule: Obj, path: Path, errors: ErrorList) -> None:
    _validate_verbs(rule, path, errors)
    for field, one, many in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        words, where = rule.get(field) or [], path.child(field)
        checks.required(words, where, errors, f"resource rules must supply at least one {one}")
        _validate_words(words, many, where, errors)
    namespaces, where = rule.get("namespaces") or [], path.child("namespaces")
    if not namespaces and not rule.get("clusterScope"):
        message = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.required(where, message)
    elif _validate_words(namespaces, "namespaces", where, errors):
        for i, namespace in enumerate(namespaces):
            for message in names.dns1123_label(namespace):
                detail = _NAMESPACE_INTRODUCTION + message
                errors.invalid(where.index(i), namespace, detail)


def _validate_url_rule(rule: Obj, path: Path, errors: ErrorList) -> None:
    _validate_verbs(rule, path, errors)
    urls, where = rule.get("nonResourceURLs") or [], path.child("nonResourceURLs")
    message = "nonResourceURLs must contain at least one value"
    if not checks.required(urls, where, errors, message):
        return
    if _validate_words(urls, "non-resource URLs", where, errors):
        for i, url in enumerate(urls):
            why = _url_problem(url)
            if why:
                errors.invalid(where.index(i), url, why)


def _url_problem(url: str) -> str:
    if not url:
        return "must not be empty"
    if url == "/":
        return ""
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    wildcards = url.count("*")
    if wildcards > 1 or (wildcards == 1 and not url.endswith("/*")):
        return "wildcard can only do suffix matching"
    return ""


def validate_status_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Each condition has a type of its own."""
    path = Path("status").child("conditions")
    seen: set[str] = set()
    for i, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        type_, where = condition.get("type") or "", path.index(i).child("type")
        if type_ in seen:
            errors.duplicate(where, type_)
        seen.add(type_)
        checks.required(type_, where, errors, "must not be empty")


STRATEGY = Strategy(
    validate=validate,
    validate_status_update=validate_status_update,
    default=default,
    has_generation=True,
)
