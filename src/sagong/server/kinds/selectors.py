"""Validation of label selectors (apimachinery ``apis/meta/v1/validation``)."""

from sagong.api.selectors import selector_from_object
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks


def validate_label_selector(selector: Obj | None, path: Path, errors: ErrorList) -> None:
    """A LabelSelector; None is right."""
    if selector is None:
        return
    checks.labels(selector.get("matchLabels"), path.child("matchLabels"), errors)
    for i, requirement in enumerate(selector.get("matchExpressions") or ()):
        _validate_requirement(requirement, path.child("matchExpressions").index(i), errors)


def _validate_requirement(requirement: Obj, path: Path, errors: ErrorList) -> None:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.required(
                path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'"
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            message = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.forbidden(path.child("values"), message)
    else:
        errors.invalid(path.child("operator"), operator, "not a valid selector operator")
    checks.qualified_name(requirement.get("key", ""), path.child("key"), errors)
    for i, value in enumerate(values):
        checks.label_value(value, path.child("values").index(i), errors)


def is_empty(selector: Obj | None) -> bool:
    """Does the selector select everything?"""
    return not (selector or {}).get("matchLabels") and not (selector or {}).get("matchExpressions")


def validate_selects(selector: Obj | None, labels: Obj, path: Path, errors: ErrorList) -> None:
    """The selector of a workload must select its own template's labels; no selector does."""
    try:
        selects = selector is not None and selector_from_object(selector).matches(labels)
    except ValueError:
        return  # the selector's own validation has said so
    if not selects:
        errors.invalid(path, labels or None, "`selector` does not match template `labels`")
