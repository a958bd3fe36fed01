"""Volume attributes classes."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.storage.volume_parameters import validate_parameters
from sagong.server.kinds.strategy import Strategy


def validate(obj: Obj, errors: ErrorList) -> None:
    name = obj.get("driverName") or ""
    if checks.required(name, Path("driverName"), errors):
        checks.qualified_name(name.lower(), Path("driverName"), errors)
    parameters = obj.get("parameters") or {}
    message = "must contain at least one key/value pair"
    if checks.required(parameters, Path("parameters"), errors, message):
        validate_parameters(parameters, Path("parameters"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    for field in ("driverName", "parameters"):
        if new.get(field) != old.get(field):
            errors.forbidden(Path(field), f"updates to {field} are forbidden.")


STRATEGY = Strategy(validate=validate, validate_update=validate_update, has_status=False)
