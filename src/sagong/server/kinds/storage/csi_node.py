"""CSI nodes."""

from collections.abc import Sequence

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


_NODE_ID_BYTES_MAX = 256


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
        _validate_topology_keys(driver.get("topologyKeys") or [], at, errors)


def _validate_topology_keys(keys: Sequence[str], path: Path, errors: ErrorList) -> None:
    """Upstream's path is the driver's."""
    for i, key in enumerate(keys):
        checks.required(key, path, errors)
        if key in keys[:i]:
            errors.duplicate(path, key)
        checks.qualified_name(key, path, errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    """Of a driver that is there, only what it may attach can change."""
    known = {driver.get("name"): driver for driver in old["spec"].get("drivers") or ()}
    for driver in new["spec"].get("drivers") or ():
        before = known.get(driver.get("name"))
        if before is not None and _in_go(driver) != _in_go(before):
            errors.invalid(Path("spec").child("drivers"), _in_go(driver), "field is immutable")


def _in_go(driver: Obj) -> Obj:
    """A driver as upstream shows it: its internal type, by Go's field names."""
    return {
        "Name": driver.get("name") or "",
        "NodeID": driver.get("nodeID") or "",
        "TopologyKeys": driver.get("topologyKeys"),
        "Allocatable": None,
    }


STRATEGY = Strategy(
    validate=validate,
    validate_update=validate_update,
    default=default,
    has_status=False,
    unconditional_update=False,
)
