"""Config maps."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds.core.data_rules import (
    DATA,
    decoded_size,
    validate_immutable,
    validate_keys,
    validate_size,
)
from sagong.server.kinds.strategy import Strategy

BINARY = Path("binaryData")


def validate(obj: Obj, errors: ErrorList) -> None:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = decoded_size(binary) + sum(len(v.encode()) for v in data.values())
    for key in data:
        validate_keys({key: None}, DATA, errors)
        if key in binary:
            errors.invalid(DATA.key(key), key, "duplicate of key present in binaryData")
    for key in binary:
        validate_keys({key: None}, BINARY, errors)
        if key in data:
            errors.invalid(BINARY.key(key), key, "duplicate of key present in data")
    validate_size(size, None, errors)


def validate_update(new: Obj, old: Obj, errors: ErrorList) -> None:
    validate_immutable(new, old, errors, "data", "binaryData")


STRATEGY = Strategy(validate=validate, validate_update=validate_update, has_status=False)
