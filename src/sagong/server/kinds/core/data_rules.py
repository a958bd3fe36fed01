"""Rules that config maps and secrets have in common: keys, size, immutability."""

import base64
from collections.abc import Mapping

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

DATA = Path("data")
BYTES_MAX = 1024 * 1024  # upstream's MaxSecretSize, of all values together
_IMMUTABLE = "field is immutable when `immutable` is set"


def validate_keys(values: Mapping[str, object] | None, path: Path, errors: ErrorList) -> None:
    for key in values or {}:
        checks.config_key(key, path.key(key), errors)


def decoded_size(values: Mapping[str, str] | None) -> int:
    """Bytes of base64 values."""
    return sum(len(base64.b64decode(v or "")) for v in (values or {}).values())


def validate_size(size: int, path: Path | None, errors: ErrorList) -> None:
    """``path``: of the values; upstream names none for a config map."""
    if size > BYTES_MAX:
        message = f"Too long: may not be more than {BYTES_MAX} bytes"
        field = "" if path is None else str(path)
        errors.append({"reason": "FieldValueTooLong", "message": message, "field": field})


def validate_immutable(new: Obj, old: Obj, errors: ErrorList, *fields: str) -> None:
    """Once ``immutable``, always so, and so are the fields."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.forbidden(Path("immutable"), _IMMUTABLE)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            errors.forbidden(Path(field), _IMMUTABLE)
