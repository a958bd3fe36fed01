"""``core/v1 NodeSelector`` against one node. The scheduler asks all nodes at once by itself."""

from sagong.api.meta import labels_of, name_of
from sagong.api.types import Obj


def node_matches(selector: Obj, node: Obj) -> bool:
    """Whether any term holds; a term without requirements holds nowhere."""
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
    operator = requirement["operator"]
    return value is not None and any(compare_integers(value, operator, v) for v in values)


def compare_integers(value: str, operator: str, bound: str) -> bool:
    """Gt or Lt of two texts; what is no integer compares to nothing."""
    try:
        left, right = int(value), int(bound)
    except ValueError:
        return False
    return left > right if operator == "Gt" else left < right
