"""CSI nodes."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_volumes import validate_csi_driver_name
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    """``drivers`` and their ``topologyKeys`` are always written."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("drivers", None)
    for driver in spec["drivers"] or ():
        driver.setdefault("topologyKeys", None)


_NODE_ID_BYTES_MAX = 192


def validate(obj: Obj, errors: ErrorList) -> None:
    seen: set[str] = set()
    for i, driver in enumerate(obj["spec"].get("drivers") or ()):
        at = Path("spec").child("drivers").index(i)
        name, node = driver.get("name") or "", driver.get("nodeID") or ""
        validate_csi_driver_name(name, at.child("name"), errors)
        if checks.required(node, at.child("nodeID"), errors) and len(node) > _NODE_ID_BYTES_MAX:
            message = f"must be {_NODE_ID_BYTES_MAX} characters or less"
            errors.invalid(at.child("nodeID"), node, message)
        checks.not_negative(
            (driver.get("allocatable") or {}).get("count"), at.child("allocatable", "count"), errors
        )
        if name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)
        for key in driver.get("topologyKeys") or ():
            checks.qualified_name(key, at.child("topologyKeys"), errors)


STRATEGY = Strategy(validate=validate, default=default, has_status=False)
