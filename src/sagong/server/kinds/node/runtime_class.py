"""Runtime classes."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_resources import validate_resources
from sagong.server.kinds.core.pod_scheduling import validate_tolerations
from sagong.server.kinds.node_labels import DEPRECATED
from sagong.server.kinds.strategy import Strategy


def validate(obj: Obj, errors: ErrorList) -> None:
    checks.dns_label(obj.get("handler") or "", Path("handler"), errors)
    overhead = obj.get("overhead")
    if overhead is not None:
        limits = {"limits": overhead.get("podFixed") or {}}  # upstream's path of them
        validate_resources(limits, (), Path("overhead"), errors)
    scheduling, path = obj.get("scheduling") or {}, Path("scheduling")
    checks.labels(scheduling.get("nodeSelector"), path.child("nodeSelector"), errors)
    validate_tolerations(scheduling.get("tolerations") or (), path.child("tolerations"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    checks.unchanged(new.get("handler"), old.get("handler"), Path("handler"), errors)


def warnings(new: Obj, old: Obj | None) -> list[str]:
    selector = (new.get("scheduling") or {}).get("nodeSelector") or {}
    return [f"scheduling.nodeSelector: {DEPRECATED[key]}" for key in selector if key in DEPRECATED]


STRATEGY = Strategy(
    warnings=warnings,
    validate=validate,
    validate_update=validate_update,
    has_status=False,
    unconditional_update=False,
)
