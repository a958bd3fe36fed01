"""Resource quantities (``resource.Quantity``): exact, with upstream's parsing and canonical form.

A quantity is a whole number of nano-units and the suffix family in which it is written. Finer
values are rounded up, away from zero, as upstream does.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

NANO: Final = 10**9
FORMAT_WRONG: Final = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
SUFFIX_WRONG: Final = "unable to parse quantity's suffix"
NUMBER_WRONG: Final = "unable to parse numeric part of quantity"

_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
_DECIMAL = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {0: "", **{exponent: suffix for suffix, exponent in _BINARY.items()}}
# Binary quantities are capped at the largest int64, as upstream caps them.
_MAX_BINARY = (2**63 - 1) * NANO
# Nobody needs more; past it the number is refused, so that none can fill the memory.
_EXPONENT_MAX = 500
# Digits that upstream's fast path holds; longer numbers are never kept as they were written.
_FAST_DIGITS_MAX = 18


class Format(StrEnum):
    """The family of suffixes."""

    DECIMAL_EXPONENT = "DecimalExponent"
    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An amount. Compares and adds by value; ``str()`` is the canonical form."""

    nano: int
    format: Format = field(default=Format.DECIMAL_SI, compare=False)

    @classmethod
    def of(cls, value: int, format: Format = Format.DECIMAL_SI) -> "Quantity":
        """A whole number of units."""
        return cls(value * NANO, format)

    @classmethod
    def of_milli(cls, value: int) -> "Quantity":
        """A number of thousandths, as CPU is mostly counted."""
        return cls(value * 10**6)

    @property
    def value(self) -> int:
        """Whole units, rounded up (away from zero)."""
        return _divide_up(self.nano, NANO)

    @property
    def milli_value(self) -> int:
        """Thousandths, rounded up (away from zero)."""
        return _divide_up(self.nano, 10**6)

    def __add__(self, other: "Quantity") -> "Quantity":
        format_ = self.format if self.nano else other.format
        return Quantity(self.nano + other.nano, format_)

    def __sub__(self, other: "Quantity") -> "Quantity":
        format_ = self.format if self.nano else other.format
        return Quantity(self.nano - other.nano, format_)

    def __mul__(self, factor: int) -> "Quantity":
        return Quantity(self.nano * factor, self.format)

    def __neg__(self) -> "Quantity":
        return Quantity(-self.nano, self.format)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __str__(self) -> str:
        if not self.nano:
            return "0"
        small = -1024 * NANO < self.nano < 1024 * NANO
        if self.format is Format.BINARY_SI and not small and self.nano % NANO == 0:
            return _binary_text(self.nano // NANO)
        return _decimal_text(self.nano, exponential=self.format is Format.DECIMAL_EXPONENT)


ZERO = Quantity(0)


def parse(text: str | int | float) -> Quantity:
    """The quantity a JSON value stands for; ValueError with upstream's message if none."""
    return _parse(text if isinstance(text, str) else _number_text(text))[0]


def canonical(text: str | int | float) -> str:
    """How upstream writes the value back: as it came if that is canonical; ValueError if bad."""
    return _parse(text if isinstance(text, str) else _number_text(text))[1]


def _number_text(number: int | float) -> str:
    if isinstance(number, bool):
        return "true" if number else "false"
    return repr(number)


@lru_cache(maxsize=4096)  # a cluster writes few distinct quantities, again and again
def _parse(raw: str) -> tuple[Quantity, str]:
    text = raw.strip()
    if not text:
        raise ValueError(FORMAT_WRONG)
    if text == "0":
        return ZERO, "0"
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(FORMAT_WRONG)
    sign, whole, fraction, suffix = match.groups()
    whole, fraction = whole.lstrip("0"), fraction or ""
    base, exponent, format_ = _interpret(suffix)
    digits = (whole or "0") + fraction
    if whole == "" and fraction == "" and "0" not in match.group(2):
        raise ValueError(NUMBER_WRONG)
    nano = _scaled(digits, len(fraction), base, exponent)
    if format_ is Format.BINARY_SI:
        nano = min(nano, _MAX_BINARY)
        if 0 < nano < NANO:
            format_ = Format.DECIMAL_SI
    quantity = Quantity(-nano if sign == "-" else nano, format_)
    if _is_kept(digits, len(fraction), exponent, format_) and nano:
        return quantity, text
    return quantity, str(quantity)


def _interpret(suffix: str) -> tuple[int, int, Format]:
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], Format.DECIMAL_SI
    if suffix in _BINARY:
        return 2, _BINARY[suffix], Format.BINARY_SI
    if suffix[0] in "eE" and re.fullmatch("[-+]?[0-9]+", suffix[1:]):
        exponent = int(suffix[1:]) if len(suffix) < 20 else _EXPONENT_MAX + 1
        if abs(exponent) <= _EXPONENT_MAX:
            return 10, exponent, Format.DECIMAL_EXPONENT
    raise ValueError(SUFFIX_WRONG)


def _scaled(digits: str, places: int, base: int, exponent: int) -> int:
    """``digits * 10**-places * base**exponent`` in nano-units, rounded up."""
    if len(digits) > 4000:  # past it int() refuses, and nobody means it
        raise ValueError(NUMBER_WRONG)
    number = int(digits) * NANO
    power = exponent - places if base == 10 else -places
    if base == 2:
        number <<= exponent
    return number * 10**power if power >= 0 else _divide_up(number, 10**-power)


def _is_kept(digits: str, places: int, exponent: int, format_: Format) -> bool:
    """Does upstream keep the string as it came, taking it for canonical?"""
    if format_ is Format.BINARY_SI:
        fits = len(digits) + int(exponent * 3 / 10) + 1 <= 15
        return places == 0 and fits and int(digits) & 7 != 0
    scale = exponent - places
    return (
        len(digits) <= _FAST_DIGITS_MAX
        and scale >= -9
        and scale % 3 == 0
        and not digits.endswith("000")
        and digits[0] != "0"
    )


def _decimal_text(nano: int, *, exponential: bool) -> str:
    exponent = -9
    while nano % 1000 == 0 and (exponential or exponent < 18):
        nano //= 1000
        exponent += 3
    if exponential:
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{_DECIMAL_SUFFIX[exponent]}"


def _binary_text(number: int) -> str:
    exponent = 0
    while number % 1024 == 0 and exponent < 60:
        number //= 1024
        exponent += 10
    return f"{number}{_BINARY_SUFFIX[exponent]}"


def _divide_up(number: int, divisor: int) -> int:
    magnitude = -(-abs(number) // divisor)
    return magnitude if number >= 0 else -magnitude
