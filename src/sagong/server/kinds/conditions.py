"""Validation of ``metav1.Condition`` lists (apimachinery ``apis/meta/v1/validation``)."""

import re
from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

_STATUSES = ("False", "True", "Unknown")
_REASON_BYTES_MAX = 1024
_MESSAGE_BYTES_MAX = 32 * 1024
_REASON_PATTERN = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON = re.compile(_REASON_PATTERN)
_REASON_WRONG = (
    "a condition reason must start with alphabetic character, optionally followed by a string of "
    "alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. "
    "'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex "
    f"used for validation is '{_REASON_PATTERN}')"
)


def validate_conditions(conditions: Sequence[Obj], path: Path, errors: ErrorList) -> None:
    """Each of another type, and each complete."""
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        type_ = condition.get("type") or ""
        if type_ in seen:
            errors.duplicate(path.index(i).child("type"), type_)
        seen.add(type_)
        _validate_condition(condition, path.index(i), errors)


def _validate_condition(condition: Obj, path: Path, errors: ErrorList) -> None:
    checks.qualified_name(condition.get("type") or "", path.child("type"), errors)
    checks.one_of(condition.get("status") or "", _STATUSES, path.child("status"), errors)
    generation = condition.get("observedGeneration") or 0
    if generation < 0:
        message = "must be greater than or equal to zero"
        errors.invalid(path.child("observedGeneration"), generation, message)
    time = condition.get("lastTransitionTime")
    checks.required(time, path.child("lastTransitionTime"), errors, "must be set")
    reason, where = condition.get("reason") or "", path.child("reason")
    if checks.required(reason, where, errors, "must be set"):
        if not _REASON.fullmatch(reason):
            errors.invalid(where, reason, _REASON_WRONG)
        if len(reason) > _REASON_BYTES_MAX:
            errors.too_long(where, _REASON_BYTES_MAX)
    if len(condition.get("message") or "") > _MESSAGE_BYTES_MAX:
        errors.too_long(path.child("message"), _MESSAGE_BYTES_MAX)
