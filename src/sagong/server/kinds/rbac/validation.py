"""Validation of roles and bindings."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.selectors import validate_label_selector

_GROUP = "rbac.authorization.k8s.io"
_RULES = Path("rules")


def validate_role(role: Obj, errors: ErrorList) -> None:
    for i, rule in enumerate(role.get("rules") or ()):
        _validate_rule(rule, _RULES.index(i), errors, namespaced=True)


def validate_cluster_role(role: Obj, errors: ErrorList) -> None:
    for i, rule in enumerate(role.get("rules") or ()):
        _validate_rule(rule, _RULES.index(i), errors, namespaced=False)
    aggregation = role.get("aggregationRule")
    if aggregation is None:
        return
    selectors = aggregation.get("clusterRoleSelectors") or []
    where = Path("aggregationRule").child("clusterRoleSelectors")
    if not selectors:
        message = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.required(where, message)
    for i, selector in enumerate(selectors):
        validate_label_selector(selector, where.index(i), errors)


def _validate_rule(rule: Obj, path: Path, errors: ErrorList, *, namespaced: bool) -> None:
    if not rule.get("verbs"):
        errors.required(path.child("verbs"), "verbs must contain at least one value")
    urls, where = rule.get("nonResourceURLs") or [], path.child("nonResourceURLs")
    if urls:
        if namespaced:
            message = "namespaced rules cannot apply to non-resource URLs"
            errors.invalid(where, urls, message)
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            message = "rules cannot apply to both regular resources and non-resource URLs"
            errors.invalid(where, urls, message)
        return
    if not rule.get("apiGroups"):
        message = "resource rules must supply at least one api group"
        errors.required(path.child("apiGroups"), message)
    if not rule.get("resources"):
        message = "resource rules must supply at least one resource"
        errors.required(path.child("resources"), message)


def validate_role_binding(binding: Obj, errors: ErrorList) -> None:
    _validate_binding(binding, ("Role", "ClusterRole"), errors)


def validate_cluster_role_binding(binding: Obj, errors: ErrorList) -> None:
    _validate_binding(binding, ("ClusterRole",), errors)


def _validate_binding(binding: Obj, kinds: Sequence[str], errors: ErrorList) -> None:
    reference, path = binding.get("roleRef") or {}, Path("roleRef")
    group = reference.get("apiGroup") or ""
    checks.one_of(group, (_GROUP,), path.child("apiGroup"), errors)
    checks.one_of(reference.get("kind") or "", kinds, path.child("kind"), errors)
    name = reference.get("name") or ""
    if checks.required(name, path.child("name"), errors):
        checks.name(name, names.path_segment_name, path.child("name"), errors)
    for i, subject in enumerate(binding.get("subjects") or ()):
        _validate_subject(subject, Path("subjects").index(i), errors)


def _validate_subject(subject: Obj, path: Path, errors: ErrorList) -> None:
    kind, name = subject.get("kind") or "", subject.get("name") or ""
    group = subject.get("apiGroup") or ""
    checks.required(name, path.child("name"), errors)
    if kind == "ServiceAccount":
        if name:
            checks.dns_subdomain(name, path.child("name"), errors)
        checks.one_of(group, ("",), path.child("apiGroup"), errors)
        checks.required(subject.get("namespace"), path.child("namespace"), errors)
    elif kind in ("User", "Group"):
        checks.one_of(group, (_GROUP,), path.child("apiGroup"), errors)
    else:
        kinds = ["ServiceAccount", "User", "Group"]
        errors.not_supported(path.child("kind"), kind, kinds)


def validate_binding_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    if new.get("roleRef") != old.get("roleRef"):
        reference = new.get("roleRef") or {}
        shown = {
            "APIGroup": reference.get("apiGroup") or "",
            "Kind": reference.get("kind") or "",
            "Name": reference.get("name") or "",
        }
        errors.invalid(Path("roleRef"), shown, "cannot change roleRef")
