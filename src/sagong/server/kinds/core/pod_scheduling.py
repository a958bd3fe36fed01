"""Validation of where a pod may run: tolerations, affinity, spreading, node selectors, gates."""

from collections.abc import Sequence

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.selectors import validate_label_selector

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_tolerations(tolerations: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    for i, toleration in enumerate(tolerations):
        _validate_toleration(toleration, path.index(i), errors)


def _validate_toleration(toleration: Obj, path: Path, errors: ErrorList) -> None:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    if key:
        checks.qualified_name(key, path.child("key"), errors)
    elif operator != "Exists":
        message = (
            "operator must be Exists when `key` is empty, which means "
            '"match all values and all keys"'
        )
        errors.invalid(path.child("operator"), operator, message)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        message = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors.invalid(path.child("effect"), effect, message)
    if operator in ("", "Equal"):
        wrong = names.label_value(value)
        if wrong:
            errors.invalid(path.child("operator"), value, ";".join(wrong))
    elif operator == "Exists":
        if value:
            message = "value must be empty when `operator` is 'Exists'"
            errors.invalid(path.child("operator"), value, message)
    else:
        errors.not_supported(path.child("operator"), operator, ["Equal", "Exists"])
    if effect:
        checks.one_of(effect, TAINT_EFFECTS, path.child("effect"), errors)


def validate_affinity(affinity: Obj, path: Path, errors: ErrorList) -> None:
    node = affinity.get("nodeAffinity")
    if node is not None:
        _validate_node_affinity(node, path.child("nodeAffinity"), errors)
    for name in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(name)
        if part is None:
            continue
        at = path.child(name)
        for i, term in enumerate(part.get(_REQUIRED) or ()):
            _validate_pod_term(term, at.child(_REQUIRED).index(i), errors)
        for i, weighted in enumerate(part.get(_PREFERRED) or ()):
            where = at.child(_PREFERRED).index(i)
            _validate_weight(weighted, where, errors)
            term = weighted.get("podAffinityTerm") or {}
            _validate_pod_term(term, where.child("podAffinityTerm"), errors)


def _validate_weight(weighted: Obj, path: Path, errors: ErrorList) -> None:
    weight = weighted.get("weight") or 0
    if not 1 <= weight <= 100:
        errors.invalid(path.child("weight"), weight, "must be in the range 1-100")


def _validate_node_affinity(affinity: Obj, path: Path, errors: ErrorList) -> None:
    if affinity.get(_REQUIRED) is not None:
        validate_node_selector(affinity[_REQUIRED], path.child(_REQUIRED), errors)
    for i, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        at = path.child(_PREFERRED).index(i)
        _validate_weight(weighted, at, errors)
        validate_node_term(weighted.get("preference") or {}, at.child("preference"), errors)


def validate_node_selector(selector: Obj, path: Path, errors: ErrorList) -> None:
    """A NodeSelector: at least one term."""
    terms = selector.get("nodeSelectorTerms") or []
    where = path.child("nodeSelectorTerms")
    if not terms:
        errors.required(where, "must have at least one node selector term")
    for i, term in enumerate(terms):
        validate_node_term(term, where.index(i), errors)


def validate_node_term(term: Obj, path: Path, errors: ErrorList) -> None:
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        at = path.child("matchExpressions").index(i)
        _validate_node_requirement(requirement, at, errors)
    for i, requirement in enumerate(term.get("matchFields") or ()):
        _validate_field_requirement(requirement, path.child("matchFields").index(i), errors)


def _validate_node_requirement(requirement: Obj, path: Path, errors: ErrorList) -> None:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    where = path.child("values")
    match operator:
        case "In" | "NotIn":
            if not values:
                errors.required(where, "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if values:
                message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                errors.forbidden(where, message)
        case "Gt" | "Lt":
            if len(values) != 1:
                message = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                errors.required(where, message)
        case _:
            errors.invalid(path.child("operator"), operator, "not a valid selector operator")
    checks.qualified_name(requirement.get("key", ""), path.child("key"), errors)
    if operator in ("In", "NotIn"):
        for i, value in enumerate(values):
            checks.label_value(value, where.index(i), errors)


def _validate_field_requirement(requirement: Obj, path: Path, errors: ErrorList) -> None:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        errors.invalid(path.child("operator"), operator, "not a valid selector operator")
    elif len(values) != 1:
        message = (
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        )
        errors.required(path.child("values"), message)
    key = requirement.get("key", "")
    if key != "metadata.name":
        errors.invalid(path.child("key"), key, "not a valid field selector key")
        return
    for i, value in enumerate(values):
        checks.dns_subdomain(value, path.child("values").index(i), errors)


def _validate_pod_term(term: Obj, path: Path, errors: ErrorList) -> None:
    selector = term.get("labelSelector")
    validate_label_selector(selector, path.child("labelSelector"), errors)
    namespaces = term.get("namespaceSelector")
    validate_label_selector(namespaces, path.child("namespaceSelector"), errors)
    for name in term.get("namespaces") or ():
        checks.dns_label(name, path.child("namespace"), errors)
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        _validate_label_keys(term.get(field) or [], selector, path.child(field), errors)
    _validate_keys_differ(term, path, errors)
    topology = term.get("topologyKey") or ""
    if not topology:
        errors.required(path.child("topologyKey"), "can not be empty")
    checks.qualified_name(topology, path.child("topologyKey"), errors)


def _validate_keys_differ(term: Obj, path: Path, errors: ErrorList) -> None:
    """A key stands once: in the selector, to be matched, or to be mismatched."""
    keys, others = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    selector = term.get("labelSelector") or {}
    seen = set(selector.get("matchLabels") or ())
    for expression in selector.get("matchExpressions") or ():
        key = expression.get("key")
        if key in keys and key in seen:
            message = "exists in both matchLabelKeys and labelSelector"
            errors.invalid(path.index(keys.index(key)), key, message)
        seen.add(key)
    for i, key in enumerate(keys):
        if key in others:
            message = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.invalid(path.child("matchLabelKeys").index(i), key, message)


def _validate_label_keys(
    keys: Sequence[str], selector: Obj | None, path: Path, errors: ErrorList
) -> None:
    if keys and selector is None:
        errors.forbidden(path, "must not be specified when labelSelector is not set")
    for i, key in enumerate(keys):
        checks.qualified_name(key, path.index(i), errors)


def validate_spread_constraints(constraints: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    seen: set[tuple[str, str]] = set()
    for i, constraint in enumerate(constraints):
        at = path.index(i)
        _validate_spread_constraint(constraint, at, errors)
        pair = (constraint.get("topologyKey") or "", constraint.get("whenUnsatisfiable") or "")
        if pair in seen:
            where = at.child("{topologyKey, whenUnsatisfiable}")
            errors.duplicate(where, f"{{{pair[0]}, {pair[1]}}}")
        seen.add(pair)
        selector = constraint.get("labelSelector")
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None:
                checks.one_of(constraint[field], ("Honor", "Ignore"), at.child(field), errors)
        keys = constraint.get("matchLabelKeys") or []
        _validate_label_keys(keys, selector, at.child("matchLabelKeys"), errors)
        validate_label_selector(selector, at.child("labelSelector"), errors)


def _validate_spread_constraint(constraint: Obj, path: Path, errors: ErrorList) -> None:
    skew = constraint.get("maxSkew") or 0
    if skew <= 0:
        errors.invalid(path.child("maxSkew"), skew, checks.NOT_POSITIVE)
    key = constraint.get("topologyKey") or ""
    if not key:
        errors.required(path.child("topologyKey"), "can not be empty")
    else:
        checks.qualified_name(key, path.child("topologyKey"), errors)
    action = constraint.get("whenUnsatisfiable") or ""
    actions = ("DoNotSchedule", "ScheduleAnyway")
    checks.one_of(action, actions, path.child("whenUnsatisfiable"), errors)
    domains = constraint.get("minDomains")
    if domains is None:
        return
    if domains <= 0:
        errors.invalid(path.child("minDomains"), domains, checks.NOT_POSITIVE)
    if action != "DoNotSchedule":
        message = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        errors.invalid(path.child("minDomains"), domains, message)


def validate_gates(spec: Obj, path: Path, errors: ErrorList) -> None:
    """Readiness gates and scheduling gates."""
    for i, gate in enumerate(spec.get("readinessGates") or ()):
        where = path.child("readinessGates").index(i).child("conditionType")
        checks.qualified_name(gate.get("conditionType") or "", where, errors)
    seen: set[str] = set()
    for i, gate in enumerate(spec.get("schedulingGates") or ()):
        at = path.child("schedulingGates").index(i)
        name = gate.get("name") or ""
        checks.qualified_name(name, at, errors)
        if name in seen:
            errors.duplicate(at, name)
        seen.add(name)
