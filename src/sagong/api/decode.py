"""Request bodies to decoded objects: JSON and YAML, bounded, with duplicate keys found.

What a body's fields may be is said by ``checking.check``; whether findings are ignored, told as
warnings or refused (``fieldValidation``) is the caller's to decide.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sagong.api.checking import PROBLEMS_MAX, check, check_configuration, json_type
from sagong.api.errors import BadRequest, UnsupportedMediaType
from sagong.api.types import Obj

__all__ = [
    "Decoded",
    "check",
    "check_configuration",
    "decode_body",
    "decode_value",
    "strict_error",
    "warnings",
]

JSON = "application/json"
YAML = "application/yaml"

# Deeper documents are refused; everything that walks objects recursively relies on it.
DEPTH_MAX = 200

_KEY = re.compile(rb'(?<!\\)"[ \t\r\n]*:')
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string '
_TYPE_META += '"json:\\"kind,omitempty\\"" }'


_GO_WORDS = {dict: "object", list: "array", str: "string", bool: "bool"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded body, and the keys that came twice: ``duplicate field "spec.replicas"``."""

    obj: Obj
    duplicates: list[str]


def decode_body(data: bytes, *, media_type: str = JSON, kind: str = "") -> Decoded:
    """Decode the object in a request body.

    ``kind`` is what the resource expects, for messages. Raises BadRequest with upstream's text,
    UnsupportedMediaType if the format is not known.
    """
    try:
        value, duplicates = decode_value(data, media_type=media_type)
    except ValueError as e:
        raise _unrecognized(data, kind, f"couldn't get version/kind; {e}") from None
    if value is None:
        value = {}  # to Go, null is a struct without anything
    if not isinstance(value, dict):
        wrong = _GO_WORDS.get(type(value), "number")
        why = f"json: cannot unmarshal {wrong} into Go value of type {_TYPE_META}"
        raise _unrecognized(data, kind, f"couldn't get version/kind; json parse error: {why}")
    for field in ("apiVersion", "kind"):
        given = value.get(field)
        if given is not None and not isinstance(given, str):
            wrong = _GO_WORDS.get(type(given), "number")
            why = f"json: cannot unmarshal {wrong} into Go struct field .{field} of type string"
            raise _unrecognized(data, kind, f"couldn't get version/kind; json parse error: {why}")
    version = value.get("apiVersion") or ""
    if version.count("/") > 1:
        raise _unrecognized(data, kind, f"unexpected GroupVersion string: {version}")
    return Decoded(value, duplicates)


def decode_value(data: bytes, *, media_type: str = JSON) -> tuple[Any, list[str]]:
    """Decode any document; the value and its duplicates. ValueError with upstream's text."""
    base = media_type.partition(";")[0].strip().lower()
    if base == YAML or base.endswith("+yaml"):
        from sagong.api import yaml  # slow to import, and JSON is what most clients send

        try:
            return yaml.load(data, depth_max=DEPTH_MAX)
        except ValueError as e:
            raise ValueError(f"error converting YAML to JSON: {e}") from None
    if base and base != JSON and not base.endswith("+json"):
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
    if data.count(b"{") + data.count(b"[") > DEPTH_MAX and _depth(data) > DEPTH_MAX:
        raise ValueError("json parse error: exceeded max depth")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise ValueError(f"json parse error: {_go_syntax_error(data, e)}") from None
    return value, _duplicates(data, value)


def strict_error(kind: str, version: str, problems: Sequence[str]) -> BadRequest:
    """The refusal under ``fieldValidation=Strict``; ``version`` without its group."""
    why = f"strict decoding error: {', '.join(problems)}"
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def warnings(problems: Sequence[str]) -> list[str]:
    """The warnings under ``fieldValidation=Warn``."""
    return list(problems[:PROBLEMS_MAX])


def _unrecognized(data: bytes, kind: str, why: str) -> BadRequest:
    return BadRequest(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(data)})"
    )


def _summary(data: bytes, length: int = 30) -> str:
    """The beginning of a body, as text if it looks like JSON, else in hexadecimal."""
    if not data:
        return "<empty>"
    head = data[:length]
    text = head.decode(errors="replace") if data[:1] == b"{" else head.hex()
    return text + (" ..." if len(data) > length else "")


def _depth(data: bytes) -> int:
    """How deep brackets nest outside of strings; linear, without recursion."""
    depth = deepest = 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', data, re.DOTALL):
        char = token[0]
        if char in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in b"]}":
            depth -= 1
    return deepest


def _duplicates(data: bytes, value: Any) -> list[str]:
    """Paths of keys that came twice. Counting comes first: two parses cost more than one."""
    if _keys_written(data) == _count_keys(value):
        return []
    found: list[_Pairs] = []
    tree = json.loads(data, object_pairs_hook=lambda pairs: _noted(pairs, found))
    if not found:
        return []
    paths: list[str] = []
    _name_duplicates(tree, "", paths)
    return [f'duplicate field "{path}"' for path in paths[:PROBLEMS_MAX]]


def _keys_written(data: bytes) -> int:
    """How many keys a JSON text has; -1 if that takes more than counting characters."""
    if b'\\\\"' in data:  # a key that ends in a backslash could hide
        return -1
    if any(gap in data for gap in (b" :", b"\n:", b"\t:", b"\r:")):
        return len(_KEY.findall(data))
    return data.count(b'":') - data.count(b'\\":')


class _Pairs(dict[str, Any]):
    """An object with keys that came twice."""

    duplicates: tuple[str, ...] = ()


def _noted(pairs: list[tuple[str, Any]], found: list[_Pairs]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    noted = _Pairs(plain)
    seen: set[str] = set()
    again: dict[str, None] = {}
    for key, _ in pairs:
        if key in seen:
            again[key] = None
        seen.add(key)
    noted.duplicates = tuple(again)
    found.append(noted)
    return noted


def _name_duplicates(value: Any, path: str, paths: list[str]) -> None:
    if isinstance(value, dict):
        dot = "." if path else ""
        if isinstance(value, _Pairs):
            paths.extend(f"{path}{dot}{key}" for key in value.duplicates)
        for key, item in value.items():
            _name_duplicates(item, f"{path}{dot}{key}", paths)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _name_duplicates(item, f"{path}[{i}]", paths)


def _count_keys(value: Any) -> int:
    if type(value) is dict:
        count = len(value)
        for item in value.values():
            if type(item) is dict or type(item) is list:
                count += _count_keys(item)
        return count
    count = 0
    if type(value) is list:
        for item in value:
            if type(item) is dict or type(item) is list:
                count += _count_keys(item)
    return count


def object_problem(data: bytes) -> str | None:
    """Why Go would not decode a JSON text as a map; None if it would (or would leave it null)."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _go_syntax_error(data, error)
    if value is None or isinstance(value, dict):
        return None
    kind = json_type(value).partition(" ")[0]
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


def _go_syntax_error(data: bytes, error: orjson.JSONDecodeError) -> str:
    """What ``encoding/json`` would say, as far as the position tells."""
    text = data.decode(errors="replace")
    if not text.strip() or error.pos >= len(text):
        return "unexpected end of JSON input"
    said, at = str(error), error.pos
    if "trailing comma" in said:
        at = next((i for i in range(at + 1, len(text)) if not text[i].isspace()), at)
    char = json.dumps(text[at], ensure_ascii=False)[1:-1]
    before = text[:at].strip()[-1:]
    return f"invalid character '{char}' {_where(said, before, char)}"


def _where(said: str, before: str, char: str) -> str:
    """What Go was doing at a bad character, from what orjson expected there."""
    if "expected ':'" in said:
        return "after object key"
    if "or ']'" in said:
        return "after array element"
    if "or '}'" in said:
        return "after object key:value pair"
    if "string key" in said or (before == "," and char == "}"):
        return "looking for beginning of object key string"
    if "after" in said or (before != "" and before in "}]"):
        return "after top-level value"
    return "looking for beginning of value"
