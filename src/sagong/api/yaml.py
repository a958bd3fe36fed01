"""YAML as ``sigs.k8s.io/yaml`` reads it: YAML 1.1 scalars with go-yaml's exceptions, to JSON.

Built from libyaml's events with a stack of our own, so that neither deep nesting nor aliases can
exhaust memory. Only the first document of a stream is read.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

# Values that aliases may bring in, beyond those that are written out; past it the document is
# refused, as go-yaml refuses "excessive aliasing".
ALIASED_VALUES_MAX = 10_000

_TRUE = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"}
_FALSE = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"}
_NULL = {"", "~", "null", "Null", "NULL"}
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MERGE = object()


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    value: Any
    anchor: str | None = None
    key: Any = None
    has_key: bool = False
    merged: list[Any] = field(default_factory=list)


def load(data: bytes, *, depth_max: int) -> tuple[Any, list[str]]:
    """The first document as JSON values, and what is wrong with duplicate keys, in one text.

    ValueError with a text like go-yaml's if it is no YAML or exceeds a limit.
    """
    try:
        return _Reader(depth_max).read(yaml.parse(data, yaml.CSafeLoader))
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 0
        raise ValueError(f"yaml: line {line}: {e.problem}") from None
    except (yaml.YAMLError, UnicodeError) as e:
        raise ValueError(f"yaml: {e}") from None


class _Reader:
    """Turns events into values."""

    def __init__(self, depth_max: int) -> None:
        self._depth_max = depth_max
        self._open: list[_Open] = []
        self._anchors: dict[str, Any] = {}
        self._aliased = 0
        self._duplicates: list[str] = []
        self._root: Any = None

    def read(self, events: Any) -> tuple[Any, list[str]]:
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
            self._take(event)
        problems = []
        if self._duplicates:
            problems.append("yaml: unmarshal errors:\n  " + "\n  ".join(self._duplicates))
        return self._root, problems

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._put(_scalar(event), event)
            if event.anchor:
                self._anchors[event.anchor] = _scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._put(self._alias(event), event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(self._open) >= self._depth_max:
                raise ValueError("yaml: exceeded max depth")
            value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._open.append(_Open(value, event.anchor))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            closed = self._open.pop()
            for merged in closed.merged:
                for key, item in merged.items():
                    closed.value.setdefault(key, item)
            if closed.anchor:
                self._anchors[closed.anchor] = closed.value
            self._put(closed.value, event)

    def _put(self, value: Any, event: Any) -> None:
        """Place a finished value into the innermost open collection."""
        if not self._open:
            self._root = value
            return
        inner = self._open[-1]
        if isinstance(inner.value, list):
            inner.value.append(None if value is _MERGE else value)
        elif not inner.has_key:
            inner.key, inner.has_key = self._key(value, inner, event), True
        else:
            inner.has_key = False
            if inner.key is _MERGE:
                inner.merged.extend(value if isinstance(value, list) else [value])
                if not all(isinstance(m, dict) for m in inner.merged):
                    raise ValueError(
                        "yaml: map merge requires map or sequence of maps as the value"
                    )
            else:
                inner.value[inner.key] = value

    def _key(self, value: Any, inner: _Open, event: Any) -> Any:
        if value is _MERGE:
            return _MERGE
        if isinstance(value, (dict, list)):
            raise ValueError("yaml: invalid map key")
        key = value if isinstance(value, str) else _key_text(value)
        if key in inner.value:
            line = event.start_mark.line + 1
            self._duplicates.append(f'line {line}: key "{key}" already set in map')
        return key

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise ValueError(f"yaml: unknown anchor '{event.anchor}' referenced")
        return self._copied(self._anchors[event.anchor])

    def _copied(self, value: Any) -> Any:
        self._aliased += 1
        if self._aliased > ALIASED_VALUES_MAX:
            raise ValueError("yaml: document contains excessive aliasing")
        if isinstance(value, dict):
            return {k: self._copied(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._copied(v) for v in value]
        return value


def _key_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if tag == "tag:yaml.org,2002:str" or (tag is None and event.style):  # libyaml: "" is plain
        return text
    if tag is None:
        return _plain(text)
    plain = _plain(text)
    if tag == "tag:yaml.org,2002:float" and isinstance(plain, int):
        return plain
    return plain if tag.startswith("tag:yaml.org,2002:") else text


def _plain(text: str) -> Any:
    """What an unquoted scalar is. Times, base-60 numbers and the like stay strings."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text == "<<":
        return _MERGE
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            return text
        # JSON has one kind of number: 1e3 is written 1000.
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return text


def _integer(text: str) -> Any:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").replace("_", "")
    if digits[:2] in ("0x", "0b", "0o"):
        return sign * int(digits, 0)
    if len(digits) > 1 and digits[0] == "0":
        return sign * int(digits, 8)
    return sign * int(digits) if len(digits) < 400 else text
