"""Semantic versions (Kubernetes' ``library/semverlib.go``)."""

import re
from typing import Any

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.types import BOOL, INT, STRING, opaque

SEMVER = opaque("kubernetes.Semver")
_NUMBER = r"(0|[1-9][0-9]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_LOOSE = re.compile(r"v?([0-9]+(?:\.[0-9]+){0,2})(.*)", re.DOTALL)


class Version:
    """A version as a value; build metadata has no say in its order."""

    __slots__ = ("before", "build", "numbers")
    type_name = SEMVER.name

    def __init__(self, numbers: tuple[int, int, int], before: tuple[str, ...], build: str) -> None:
        self.numbers = numbers
        self.before = before
        self.build = build

    def equals(self, other: Any) -> bool:
        return isinstance(other, Version) and _order(self, other) == 0


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    reads, two = costs.reads_first, (SEMVER, SEMVER)
    declaring.function("semver", "string_to_semver", (STRING,), SEMVER, parse_version, reads)
    loose = (STRING, BOOL)
    declaring.function("semver", "string_bool_to_semver", loose, SEMVER, parse_version, reads)
    declaring.function("isSemver", "is_semver_string", (STRING,), BOOL, _is_semver, reads)
    declaring.function("isSemver", "is_semver_string_bool", loose, BOOL, _is_semver, reads)
    member = declaring.member
    member("compareTo", "semver_compare_to", two, INT, _order)
    member("isGreaterThan", "semver_is_greater_than", two, BOOL, lambda a, b: _order(a, b) > 0)
    member("isLessThan", "semver_is_less_than", two, BOOL, lambda a, b: _order(a, b) < 0)
    for i, name in enumerate(("major", "minor", "patch")):
        member(name, f"semver_{name}", (SEMVER,), INT, _part(i))
    return declaring.functions()


def _part(i: int) -> Any:
    return lambda version: version.numbers[i]


def parse_version(text: str, normalize: bool = False) -> Version:
    match = _VERSION.fullmatch(_normalized(text) if normalize else text)
    if match is None or len(text) > 256:
        raise EvaluationError(f'semver parse error during conversion from string: "{text}"')
    major, minor, patch, before, build = match.groups()
    parts = tuple((before or "").split(".")) if before else ()
    if any(part.isdigit() and len(part) > 1 and part[0] == "0" for part in parts):
        raise EvaluationError("Numeric PreRelease version must not contain leading zeroes")
    return Version((int(major), int(minor), int(patch)), parts, build or "")


def _normalized(text: str) -> str:
    """Without a leading v, with all three numbers, and those without leading zeroes."""
    match = _LOOSE.fullmatch(text)
    if match is None:
        return text
    numbers = [part.lstrip("0") or "0" for part in match[1].split(".")]
    numbers += ["0"] * (3 - len(numbers))
    return ".".join(numbers) + match[2]


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse_version(text, normalize)
    except EvaluationError:
        return False
    return True


def _order(a: Version, b: Version) -> int:
    if a.numbers != b.numbers:
        return -1 if a.numbers < b.numbers else 1
    if not a.before or not b.before:
        # What is before a release is less than the release.
        return bool(b.before) - bool(a.before)
    first, second = [_rank(part) for part in a.before], [_rank(part) for part in b.before]
    return (first > second) - (first < second)


def _rank(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdigit() else (1, 0, part)
