"""The small checks that validators of all groups are made of.

Each appends to ``errors`` what is wrong with one value, in upstream's words, and says whether
the value was right.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sagong.api import names
from sagong.api.quantities import Quantity
from sagong.api.quantities import parse as parse_quantity
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path

INT32_MAX = 2**31 - 1
_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"
NOT_POSITIVE = "must be greater than zero"

NameRule = Callable[[str], Sequence[str]]


def _all_invalid(value: Any, messages: Iterable[str], path: Path, errors: ErrorList) -> bool:
    right = True
    for message in messages:
        errors.invalid(path, value, message)
        right = False
    return right


def name(value: str, rule: NameRule, path: Path, errors: ErrorList) -> bool:
    """A value that must follow a rule of ``api/names.py``."""
    return _all_invalid(value, rule(value), path, errors)


def dns_label(value: str, path: Path, errors: ErrorList) -> bool:
    return name(value, names.dns1123_label, path, errors)


def dns_subdomain(value: str, path: Path, errors: ErrorList) -> bool:
    return name(value, names.dns1123_subdomain, path, errors)


def dns_label_1035(value: str, path: Path, errors: ErrorList) -> bool:
    return name(value, names.dns1035_label, path, errors)


def qualified_name(value: str, path: Path, errors: ErrorList) -> bool:
    return name(value, names.qualified_name, path, errors)


def label_value(value: str, path: Path, errors: ErrorList) -> bool:
    return name(value, names.label_value, path, errors)


def config_key(value: str, path: Path, errors: ErrorList) -> bool:
    return name(value, names.config_map_key, path, errors)


def domain_prefixed_path(value: str, path: Path, errors: ErrorList) -> bool:
    """A domain and a path below it, as ``acme.io/foo``."""
    domain, _, rest = value.partition("/")
    if not value:
        errors.required(path)
        return False
    if not domain or not rest:
        errors.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return False
    before = len(errors)
    dns_subdomain(domain, path, errors)
    if not _HTTP_PATH.fullmatch(rest):
        message = f"Invalid path (regex used for validation is '{_HTTP_PATH.pattern}')"
        errors.invalid(path, rest, message)
    return len(errors) == before


def port_name(value: str, path: Path, errors: ErrorList) -> bool:
    return name(value, names.port_name, path, errors)


def port_number(value: int, path: Path, errors: ErrorList) -> bool:
    return in_range(value, 1, 65535, path, errors)


def in_range(value: int, low: int, high: int, path: Path, errors: ErrorList) -> bool:
    if low <= value <= high:
        return True
    errors.invalid(path, value, f"must be between {low} and {high}, inclusive")
    return False


def port_or_name(value: int | str, path: Path, errors: ErrorList) -> bool:
    """A port by number or by name (``intstr``)."""
    if isinstance(value, str):
        return port_name(value, path, errors)
    return port_number(value, path, errors)


def not_negative(value: int | None, path: Path, errors: ErrorList) -> bool:
    if value is None or value >= 0:
        return True
    errors.invalid(path, value, NEGATIVE)
    return False


def one_of(value: Any, supported: Sequence[str], path: Path, errors: ErrorList) -> bool:
    """One of a fixed set, shown in the order given."""
    if value in supported:
        return True
    errors.not_supported(path, value, list(supported))
    return False


def required(value: Any, path: Path, errors: ErrorList, detail: str = "") -> bool:
    """Something other than nothing: not None, "", [] or {}."""
    if value not in (None, "", [], {}):
        return True
    errors.required(path, detail)
    return False


def unchanged(new: Any, old: Any, path: Path, errors: ErrorList) -> bool:
    if new == old:
        return True
    errors.invalid(path, new, IMMUTABLE)
    return False


def int_or_percent(value: int | str, path: Path, errors: ErrorList) -> bool:
    """A number that is not negative, or a percentage."""
    if isinstance(value, str):
        return _all_invalid(value, names.valid_percent(value), path, errors)
    return not_negative(value, path, errors)


def at_most_100_percent(value: int | str, path: Path, errors: ErrorList) -> bool:
    if not isinstance(value, str) or names.valid_percent(value) or int(value[:-1]) <= 100:
        return True
    errors.invalid(path, value, "must not be greater than 100%")
    return False


def quantity(value: str | int | float) -> Quantity:
    """A quantity that decoding has already accepted."""
    return parse_quantity(value)


def not_negative_quantity(value: str, path: Path, errors: ErrorList) -> bool:
    if quantity(value).nano >= 0:
        return True
    errors.invalid(path, str(value), NEGATIVE)
    return False


def positive_quantity(value: str, path: Path, errors: ErrorList) -> bool:
    if quantity(value).nano > 0:
        return True
    errors.invalid(path, str(value), NOT_POSITIVE)
    return False


def labels(values: Obj | None, path: Path, errors: ErrorList) -> bool:
    """The keys and values of a label map."""
    before = len(errors)
    for key, value in (values or {}).items():
        qualified_name(key, path, errors)
        label_value(value, path, errors)
    return len(errors) == before


def exactly_one(obj: Obj, fields: Sequence[str]) -> list[str]:
    """Which of the fields are set; the caller says what is wrong unless it is one."""
    return [field for field in fields if obj.get(field) is not None]
