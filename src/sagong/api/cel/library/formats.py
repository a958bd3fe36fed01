"""Named formats of strings (Kubernetes' ``library/format.go``)."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from sagong.api import names
from sagong.api.cel import costs, times
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.library.urls import is_url
from sagong.api.cel.types import STRING, list_of, opaque, optional_of
from sagong.api.cel.values import NONE, Optional

FORMAT = opaque("kubernetes.NamedFormat")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")

Check = Callable[[str], Sequence[str]]


class Format:
    """A format as a value."""

    __slots__ = ("check", "name")
    type_name = FORMAT.name

    def __init__(self, name: str, check: Check) -> None:
        self.name = name
        self.check = check

    def equals(self, other: Any) -> bool:
        return isinstance(other, Format) and self.name == other.name


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    for name, format_ in FORMATS.items():
        declaring.function(f"format.{name}", f"format-{name}", (), FORMAT, _giving(format_))
    found = optional_of(FORMAT)
    declaring.function("format.named", "format-named", (STRING,), found, _named)
    problems = optional_of(list_of(STRING))
    declaring.member("validate", "format-validate", (FORMAT, STRING), problems, _validate, _price)
    return declaring.functions()


def _giving(format_: Format) -> Callable[[], Format]:
    return lambda: format_


def _named(name: str) -> Optional:
    found = FORMATS.get(name)
    return NONE if found is None else Optional(found)


def _validate(format_: Format, text: str) -> Optional:
    problems = list(format_.check(text))
    return Optional(problems) if problems else NONE


def _price(args: Sequence[Any]) -> int:
    return costs.tenth(costs.size(args[1])) * 10


def _prefix(check: Callable[[str], list[str]]) -> Check:
    """Of what names begin with: a trailing dash will be followed by something."""
    return lambda text: check(text[:-1] + "a" if text.endswith("-") else text)


def _holds(test: Callable[[str], bool], message: str) -> Check:
    return lambda text: [] if test(text) else [message]


def _is_byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("2006-01-02")


def _is_datetime(text: str) -> bool:
    try:
        times.timestamp_of(text)
    except (ValueError, EvaluationError):
        return False
    return True


_CHECKS: Mapping[str, Check] = {
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": _prefix(names.dns1123_label),
    "dns1123SubdomainPrefix": _prefix(names.dns1123_subdomain),
    "dns1035LabelPrefix": _prefix(names.dns1035_label),
    "labelValue": names.label_value,
    "uri": _holds(is_url, "must be a valid URI"),
    "uuid": _holds(
        lambda text: _UUID.fullmatch(text) is not None, "does not match the UUID format"
    ),
    "byte": _holds(_is_byte, "invalid base64"),
    "date": _holds(_is_date, "invalid date"),
    "datetime": _holds(_is_datetime, "invalid datetime"),
}
FORMATS = {name: Format(name, check) for name, check in _CHECKS.items()}
