"""Strings (cel-go's ``ext.Strings``, version 2, which Kubernetes declares)."""

from typing import Any

from sagong.api.cel import costs
from sagong.api.cel.declarations import Declaring, Overload
from sagong.api.cel.errors import EvaluationError
from sagong.api.cel.library.string_format import formatted
from sagong.api.cel.types import DYN, INT, STRING, list_of

_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
_SPACES += "\u200a\u2028\u2029\u202f\u205f\u3000"
_UPPER = {i: i - 32 for i in range(ord("a"), ord("z") + 1)}
_LOWER = {i: i + 32 for i in range(ord("A"), ord("Z") + 1)}
_QUOTED = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
    "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def functions() -> dict[str, list[Overload]]:
    declaring = Declaring()
    member, text, number = declaring.member, STRING, INT
    reads, result = costs.reads_first, costs.joined
    member("charAt", "string_char_at_int", (text, number), text, _char_at)
    member("indexOf", "string_index_of_string", (text, text), number, _index_of, costs.contains)
    member("indexOf", "string_index_of_string_int", (text, text, number), number, _index_of,
           costs.contains)  # fmt: skip
    member("lastIndexOf", "string_last_index_of_string", (text, text), number, _last_index_of,
           costs.contains)  # fmt: skip
    member("lastIndexOf", "string_last_index_of_string_int", (text, text, number), number,
           _last_index_of, costs.contains)  # fmt: skip
    member("lowerAscii", "string_lower_ascii", (text,), text, lambda s: s.translate(_LOWER), reads)
    member("upperAscii", "string_upper_ascii", (text,), text, lambda s: s.translate(_UPPER), reads)
    member("trim", "string_trim", (text,), text, lambda s: s.strip(_SPACES), reads)
    member(
        "replace",
        "string_replace_string_string",
        (text, text, text),
        text,
        _replace,
        costs.replaced,
    )
    member("replace", "string_replace_string_string_int", (text, text, text, number), text,
           _replace, costs.replaced)  # fmt: skip
    member("split", "string_split_string", (text, text), list_of(text), _split, reads)
    member("split", "string_split_string_int", (text, text, number), list_of(text), _split, reads)
    member("substring", "string_substring_int", (text, number), text, _substring, reads)
    member("substring", "string_substring_int_int", (text, number, number), text, _substring, reads)
    member("join", "list_join", (list_of(text),), text, _join, result)
    member("join", "list_join_string", (list_of(text), text), text, _join, result)
    member("format", "string_format", (text, list_of(DYN)), text, formatted, costs.formatted)
    declaring.function("strings.quote", "strings_quote", (text,), text, _quote, reads)
    return declaring.functions()


def _out_of_range(index: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    return text.find(part, start)


def _last_index_of(text: str, part: str, end: int | None = None) -> int:
    if not part:
        return len(text) if end is None else end
    if end is None:
        return text.rfind(part)
    if not 0 <= end < max(len(text), 1):
        raise _out_of_range(end)
    return text.rfind(part, 0, end + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if limit == 1:
        return [text]
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    if end is None:
        return text[start:]
    if not 0 <= end <= len(text):
        raise _out_of_range(end)
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _join(parts: list[Any], separator: str = "") -> str:
    return separator.join(parts)


def _quote(text: str) -> str:
    return '"' + "".join(_QUOTED.get(char, char) for char in text) + '"'
