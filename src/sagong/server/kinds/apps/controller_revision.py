"""Controller revisions."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks
from sagong.server.kinds.strategy import Strategy


def default(obj: Obj) -> None:
    obj.setdefault("revision", 0)


def validate(obj: Obj, errors: ErrorList) -> None:
    if obj.get("data") is None:
        errors.required(Path("data"), "data is mandatory")
    checks.not_negative(obj.get("revision"), Path("revision"), errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    checks.unchanged(new.get("data"), old.get("data"), Path("data"), errors)


STRATEGY = Strategy(
    validate=validate, validate_update=validate_update, default=default, has_status=False
)
