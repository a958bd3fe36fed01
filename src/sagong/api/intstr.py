"""Values that are a number or a percentage (``intstr.IntOrString``)."""

import re

_PERCENT = re.compile(r"[+-]?[0-9]+%")


def is_percent(value: int | str) -> bool:
    """Is it written as a percentage, such as ``25%``?"""
    return isinstance(value, str) and _PERCENT.fullmatch(value) is not None


def scaled(value: int | str, total: int, *, round_up: bool) -> int:
    """The number meant, percentages being taken of ``total``.

    ValueError with upstream's message (``GetScaledValueFromIntOrPercent``) if the value is a
    string that is no percentage.
    """
    if isinstance(value, int):
        return value
    if not value.endswith("%"):
        raise ValueError("invalid value for IntOrString: invalid type: string is not a percentage")
    if not is_percent(value):
        why = f'invalid value "{value}": strconv.Atoi: parsing "{value[:-1]}": invalid syntax'
        raise ValueError(f"invalid value for IntOrString: {why}")
    product = int(value[:-1]) * total
    return -(-product // 100) if round_up else product // 100
