"""What storage classes and volume attributes classes have in common: their parameters."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path

_COUNT_MAX = 512
_BYTES_MAX = 256 * 1024


def validate_parameters(parameters: Obj, path: Path, errors: ErrorList) -> None:
    if len(parameters) > _COUNT_MAX:
        errors.add("FieldValueTooLong", path, f"Too long: may not be more than {_COUNT_MAX} bytes")
        return
    for key in parameters:
        if not key:
            errors.invalid(path, key, "field can not be empty.")
    size = sum(len(k.encode()) + len(str(v).encode()) for k, v in parameters.items())
    if size > _BYTES_MAX:
        errors.too_long(path, _BYTES_MAX)
