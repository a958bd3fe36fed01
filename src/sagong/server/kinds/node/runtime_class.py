"""Runtime classes."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.core.pod_resources import (
    validate_container_resource_name,
    validate_quantity_value,
)
from sagong.server.kinds.core.pod_scheduling import validate_tolerations
from sagong.server.kinds.strategy import Strategy


def validate(obj: Obj, errors: ErrorList) -> None:
    checks.dns_label(obj.get("handler") or "", Path("handler"), errors)
    for name, value in ((obj.get("overhead") or {}).get("podFixed") or {}).items():
        where = Path("overhead").child("podFixed").key(name)
        validate_container_resource_name(name, where, errors)
        validate_quantity_value(name, value, where, errors)
    scheduling, path = obj.get("scheduling") or {}, Path("scheduling")
    checks.labels(scheduling.get("nodeSelector"), path.child("nodeSelector"), errors)
    validate_tolerations(scheduling.get("tolerations") or (), path.child("tolerations"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    checks.unchanged(new.get("handler"), old.get("handler"), Path("handler"), errors)


STRATEGY = Strategy(
    validate=validate, validate_update=validate_update, has_status=False, unconditional_update=False
)
