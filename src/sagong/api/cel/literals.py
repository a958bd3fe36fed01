"""Values of literals: numbers with their ranges, strings and bytes with their escapes."""

import re

from sagong.api.cel.values import INT_MAX, INT_MIN, UINT_MAX, Uint

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\?\"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})"
    r"|([0-3][0-7]{2})|(.?))",
    re.DOTALL,
)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip


def int_of(text: str) -> int:
    """Raises ValueError if it does not fit 64 bits."""
    negative = text.startswith("-")
    digits = text.removeprefix("-")
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    value = -value if negative else value
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError("invalid int literal")
    return value


def uint_of(text: str) -> Uint:
    digits = text[:-1]
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    if value > UINT_MAX:
        raise ValueError("invalid uint literal")
    return Uint(value)


def double_of(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("invalid double literal")
    return value


def string_of(text: str) -> str:
    """The value of a string literal with its quotes. Raises ValueError."""
    body, raw = _unquoted(text)
    return body if raw or "\\" not in body else _ESCAPE.sub(_character, body)


def bytes_of(text: str) -> bytes:
    body, raw = _unquoted(text[1:])
    if raw or "\\" not in body:
        return body.encode()
    parts, at = [], 0
    for match in _ESCAPE.finditer(body):
        parts.append(body[at : match.start()].encode())
        parts.append(_octets(match))
        at = match.end()
    return b"".join((*parts, body[at:].encode()))


def _unquoted(text: str) -> tuple[str, bool]:
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    width = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    return body[width:-width].replace("\r\n", "\n").replace("\r", "\n"), raw


def _character(match: re.Match[str]) -> str:
    simple, hexadecimal, short, long, octal, _ = match.groups()
    if simple is not None:
        return _SIMPLE[simple]
    if octal is not None:
        return chr(int(octal, 8))
    digits = hexadecimal or short or long
    if digits is None:
        raise ValueError("unable to unescape string")
    code = int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("invalid unicode code point")
    return chr(code)


def _octets(match: re.Match[str]) -> bytes:
    simple, hexadecimal, short, long, octal, _ = match.groups()
    if simple is not None:
        return _SIMPLE[simple].encode()
    if short or long:
        raise ValueError("unable to unescape string")
    digits = hexadecimal or octal
    if digits is None:
        raise ValueError("unable to unescape string")
    return bytes([int(digits, 8 if octal else 16)])
