"""CSI storage capacities."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
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


STRATEGY = Strategy(
    validate=validate,
    validate_update=validate_update,
    has_status=False,
    unconditional_update=False,
)
