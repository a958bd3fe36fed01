"""Whether a pod may be on a node: selectors, affinity, taints.

For one node at a time; the scheduler holds all nodes against a pod at once.
"""

from collections.abc import Iterable

from sagong.api.meta import labels_of, name_of
from sagong.api.types import Obj


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator, value = toleration.get("operator") or "Equal", taint.get("value") or ""
    if operator == "Exists":
        return True
    if operator == "Equal":
        return bool((toleration.get("value") or "") == value)
    return _compare(value, operator, toleration.get("value") or "")


def is_selected(spec: Obj, node: Obj) -> bool:
    """Whether a node has what the pod's nodeSelector and required node affinity ask for."""
    labels = labels_of(node)
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or node_matches(required, node)


def node_matches(selector: Obj, node: Obj) -> bool:
    """Whether any term of a NodeSelector holds; a term without requirements holds nowhere."""
    return any(_term_matches(term, node) for term in selector.get("nodeSelectorTerms") or ())


def _term_matches(term: Obj, node: Obj) -> bool:
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = labels_of(node)
    return all(_holds(e, labels.get(e["key"])) for e in expressions) and all(
        _holds(e, name_of(node)) for e in fields
    )


def _holds(requirement: Obj, value: str | None) -> bool:
    values = requirement.get("values") or ()
    match requirement["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return value is not None and any(_compare(value, requirement["operator"], v) for v in values)


def _compare(value: str, operator: str, bound: str) -> bool:
    try:
        left, right = int(value), int(bound)
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right


def is_tolerated(taint: Obj, tolerations: Iterable[Obj]) -> bool:
    """Whether any of them covers the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)
