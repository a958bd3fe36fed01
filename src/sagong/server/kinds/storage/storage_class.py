"""Storage classes."""

from sagong.api import names
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.storage.volume_parameters import validate_parameters
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    if obj.get("reclaimPolicy") is None:
        obj["reclaimPolicy"] = "Delete"
    if obj.get("volumeBindingMode") is None:
        obj["volumeBindingMode"] = "Immediate"


_FIXED = ("parameters", "provisioner", "reclaimPolicy")


def validate(obj: Obj, errors: ErrorList) -> None:
    provisioner = obj.get("provisioner") or ""
    if checks.required(provisioner, Path("provisioner"), errors):
        checks.name(provisioner.lower(), names.qualified_name, Path("provisioner"), errors)
    validate_parameters(obj.get("parameters") or {}, Path("parameters"), errors)
    policy = obj.get("reclaimPolicy")
    if policy:
        checks.one_of(policy, ("Delete", "Retain"), Path("reclaimPolicy"), errors)
    mode = obj.get("volumeBindingMode")
    if checks.required(mode, Path("volumeBindingMode"), errors):
        modes = ("Immediate", "WaitForFirstConsumer")
        checks.one_of(mode, modes, Path("volumeBindingMode"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    for field in _FIXED:
        if (new.get(field) or None) != (old.get(field) or None):
            errors.forbidden(Path(field), f"updates to {field} are forbidden.")
    where = Path("volumeBindingMode")
    checks.unchanged(new.get("volumeBindingMode"), old.get("volumeBindingMode"), where, errors)


STRATEGY = Strategy(
    validate=validate, validate_update=validate_update, default=default, has_status=False
)
