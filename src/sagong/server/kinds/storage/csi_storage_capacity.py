"""CSI storage capacities."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.node_labels import DEPRECATED
from sagong.server.kinds.selectors import validate_label_selector
from sagong.server.kinds.strategy import Strategy


def validate(obj: Obj, errors: ErrorList) -> None:
    validate_label_selector(obj.get("nodeTopology"), Path("nodeTopology"), errors)
    checks.dns_subdomain(obj.get("storageClassName") or "", Path("storageClassName"), errors)
    if obj.get("capacity") is not None:
        checks.not_negative_quantity(obj["capacity"], Path("capacity"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    for field in ("nodeTopology", "storageClassName"):
        checks.unchanged(new.get(field), old.get(field), Path(field), errors)


def warnings(new: Obj, old: Obj | None) -> list[str]:
    topology, path = new.get("nodeTopology") or {}, Path("nodeTopology")
    found = []
    for i, requirement in enumerate(topology.get("matchExpressions") or ()):
        why = DEPRECATED.get(requirement.get("key") or "")
        if why:
            found.append(f"{path.child('matchExpressions').index(i).child('key')}: {why}")
    labels = topology.get("matchLabels") or {}
    return found + [
        f"{path.child('matchLabels', label)}: {DEPRECATED[label]}"
        for label in labels
        if label in DEPRECATED
    ]


STRATEGY = Strategy(
    warnings=warnings,
    validate=validate,
    validate_update=validate_update,
    has_status=False,
    unconditional_update=False,
)
