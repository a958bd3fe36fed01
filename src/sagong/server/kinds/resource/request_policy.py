"""Validation of capacities of devices, and of how much of one may be asked for."""

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

_OPTIONS_MAX = 10


def validate_capacity(capacity: Obj, path: Path, errors: ErrorList, *, shared: bool) -> None:
    """``shared``: the device may be allocated several times, so its capacity is shared out."""
    policy, where = capacity.get("requestPolicy"), path.child("requestPolicy")
    if policy is None:
        return
    if not shared:
        errors.forbidden(where, "allowMultipleAllocations must be true")
        return
    values, limits = policy.get("validValues") or [], policy.get("validRange")
    if values and limits is not None:
        message = (
            'exactly one policy can be specified, cannot specify "validValues" and "validRange" '
            "at the same time"
        )
        errors.forbidden(where, message)
        return
    named = "validValues" if values else "validRange" if limits is not None else ""
    if not named:
        return
    if policy.get("default") is None:
        errors.required(where.child("default"), f"required when {named} is defined")
    elif values:
        _validate_options(policy, str(capacity.get("value", "0")), where.child(named), errors)
    else:
        _validate_range(policy, str(capacity.get("value", "0")), where.child(named), errors)


def _nano(quantity: str) -> int:
    return checks.quantity(quantity).nano


def _validate_options(policy: Obj, whole: str, path: Path, errors: ErrorList) -> None:
    values = policy["validValues"]
    for i in range(1, len(values)):
        if _nano(values[i - 1]) > _nano(values[i]):
            message = "values must be sorted in ascending order"
            errors.invalid(path.index(i), values[i], message)
    if len(values) > _OPTIONS_MAX:
        errors.too_many(path, len(values), _OPTIONS_MAX)
        return
    seen: set[int] = set()
    for i, value in enumerate(values):
        if _nano(value) > _nano(whole):
            message = f"option is larger than capacity value: {whole}"
            errors.invalid(path.index(i), value, message)
        amount = checks.quantity(value).value
        if amount in seen:
            errors.duplicate(path.index(i), str(amount))
        seen.add(amount)
    if _nano(policy["default"]) not in {_nano(value) for value in values}:
        message = "default value is not valid according to the requestPolicy"
        errors.invalid(path, policy["default"], message)


def _validate_range(policy: Obj, whole: str, path: Path, errors: ErrorList) -> None:
    limits, default = policy["validRange"], policy["default"]
    least, most, step = limits.get("min"), limits.get("max"), limits.get("step")
    at = path.child("min")
    if least is None:
        errors.required(at, "required when validRange is defined")
        return
    if _nano(least) > _nano(whole):
        errors.invalid(at, least, f"min is larger than capacity value: {whole}")
    if _nano(default) < _nano(least):
        errors.invalid(at, default, f"default is less than min: {least}")
    if most is not None:
        at = path.child("max")
        if _nano(least) > _nano(most):
            errors.invalid(at, least, f"min is larger than max: {most}")
        if _nano(most) > _nano(whole):
            errors.invalid(at, most, f"max is larger than capacity value: {whole}")
        if _nano(default) > _nano(most):
            errors.invalid(at, default, f"default is more than max: {most}")
    if step is not None:
        _validate_step(policy, whole, path.child("step"), errors)


def _validate_step(policy: Obj, whole: str, path: Path, errors: ErrorList) -> None:
    limits = policy["validRange"]
    least, step = checks.quantity(limits["min"]), checks.quantity(limits["step"])
    one = least + step
    if one.nano > _nano(whole):
        message = f"one step {one} is larger than capacity value: {whole}"
        errors.invalid(path, limits["step"], message)
    for value in (policy["default"], limits.get("max")):
        if value is None or not step.value:
            continue
        if (checks.quantity(value).value - least.value) % step.value:
            message = (
                f"value is not a multiple of a given step ({limits['step']}) from ({limits['min']})"
            )
            errors.invalid(path, value, message)
