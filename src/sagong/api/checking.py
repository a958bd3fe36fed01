"""One pass over a decoded object: what Go's decoder would refuse, drop, rewrite or add.

Each schema node is compiled once into a closure ``check(value, unknown) -> value``. Values are
changed in place; a closure returns the value to keep. Go's rules are those of ``encoding/json`` on
the published types: null is absent, unknown fields are dropped (their paths are collected), wrong
types fail, quantities, times and base64 take their canonical form, empty values of omitempty
fields vanish, structs by value are always there. Custom resources (``node.go`` False) are only
pruned: what is wrong with them is said by validation.
"""

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from sagong.api import gotypes, quantities
from sagong.api.errors import BadRequest
from sagong.api.schema import Kind, Node
from sagong.api.types import Obj


class Findings(list[str]):
    """Paths of dropped fields so far; with ``fill`` unset, the value is a configuration."""

    fill = True


Check = Callable[[Any, Findings], Any]

# As many as upstream's strict decoder reports; more are dropped silently.
PROBLEMS_MAX = 100

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d[T]\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_INT_RANGES = {"int32": 2**31, "int64": 2**63}


class _Mismatch(Exception):
    """A value of the wrong type; the path is completed while unwinding."""

    def __init__(self, value: Any, go_type: str) -> None:
        super().__init__()
        self.value = value
        self.go_type = go_type
        self.struct = ""
        self.path: list[str] = []

    def text(self) -> str:
        where = "Go value of"
        if self.struct:
            where = f"Go struct field {self.struct}.{'.'.join(reversed(self.path))} of"
        return f"json: cannot unmarshal {json_type(self.value)} into {where} type {self.go_type}"


def check(obj: Obj, node: Node) -> list[str]:
    """Bring ``obj`` into the form that upstream would store, in place.

    Returns what was dropped, in order: ``unknown field "spec.foo"``. Raises BadRequest with Go's
    message for values that cannot be decoded.
    """
    return _run(obj, node, Findings())


def check_configuration(obj: Obj, node: Node) -> None:
    """As ``check``, for a server-side apply: nothing is filled in and nothing dropped.

    Empty values and nulls stay, since a configuration owns what it names; unknown fields stay,
    for ``apply`` to refuse.
    """
    unknown = Findings()
    unknown.fill = False
    _run(obj, node, unknown)


def _run(obj: Obj, node: Node, unknown: Findings) -> list[str]:
    try:
        checker_of(node)(obj, unknown)
    except _Mismatch as e:
        raise _bad(obj, e.text()) from None
    except ValueError as e:
        raise _bad(obj, str(e)) from None
    return [f'unknown field "{path}"' for path in unknown[:PROBLEMS_MAX]]


def zero_value(node: Node) -> Any:
    """What a Go value of this node is when nothing was ever set, as JSON."""
    if node.kind is Kind.OBJECT:
        zero: Obj = {name: zero_value(node.fields[name]) for name in node.struct_fields}
        return zero | node.zeros
    return _ELEMENT_ZEROS.get(node.kind)


def checker_of(node: Node) -> Check:
    """The compiled closure of a node; compiled when first asked for."""
    if node.checker is None:
        if node.kind is Kind.OBJECT:
            _compile_object(node)
        elif node.kind is Kind.MAP and node.element is not None:
            node.checker = _map_check(node, node.element)
        elif node.kind is Kind.ARRAY and node.element is not None:
            node.checker = _array_check(node, node.element)
        elif not node.go:
            node.checker = _keep
        elif node.kind is Kind.INTEGER:
            node.checker = _integer_check(node.format or "int64")
        else:
            node.checker = _SCALAR_CHECKS.get(node.kind, _keep)
    return cast(Check, node.checker)


def _compile_object(node: Node) -> None:
    table: dict[str, Check] = {}
    if node.go and not node.preserve_unknown:
        node.checker = _struct_check(node, table)
    elif node.go and not node.fields:
        node.checker = _keep
    else:
        node.checker = _pruning_check(node, table)
    # After the node has its closure: definitions may refer to themselves.
    for name, field in node.fields.items():
        table[name] = checker_of(field)


def _struct_check(node: Node, table: dict[str, Check]) -> Check:
    """The closure of a Go struct."""
    type_name, go_type, vanishing = node.type_name, _go_type(node), node.vanishing
    structs = node.struct_fields
    nulls = gotypes.WRITTEN_NULLS.get(type_name, ())
    zeros = {
        name: zero
        for name, zero in node.zeros.items()
        if node.fields[name].kind not in _CONTAINERS or name in nulls
    }

    def run(value: Any, unknown: Findings) -> Any:
        if type(value) is not dict:
            raise _Mismatch(value, go_type)
        fill = unknown.fill
        absent: list[str] = []
        for key, item in value.items():
            checker = table.get(key)
            if checker is None:
                if fill:
                    unknown.append(key)
                    absent.append(key)
                continue
            if item is None:
                if fill:
                    absent.append(key)
                continue
            if checker is not _string or type(item) is not str:
                before = len(unknown)
                try:
                    new = checker(item, unknown)
                except _Mismatch as e:
                    e.struct = e.struct or type_name
                    e.path.append(key)
                    raise
                if new is not item:
                    value[key] = item = new
                if len(unknown) > before:
                    _prefix(unknown, before, key)
            if fill and not item and key in vanishing:
                absent.append(key)
        for key in absent:
            del value[key]
        if not fill:
            return value
        for key in structs:
            if key not in value:
                value[key] = table[key]({}, unknown)
        for key, zero in zeros.items():
            if key not in value:
                value[key] = zero
        return value

    return run


def _pruning_check(node: Node, table: dict[str, Check]) -> Check:
    """The closure of an object in a custom resource, or of one with unknown fields."""
    preserve = node.preserve_unknown

    def run(value: Any, unknown: Findings) -> Any:
        if type(value) is not dict:
            return value
        absent: list[str] = []
        for key, item in value.items():
            checker = table.get(key)
            if checker is None:
                if not preserve and unknown.fill:
                    unknown.append(key)
                    absent.append(key)
                continue
            before = len(unknown)
            if item is not None:
                new = checker(item, unknown)
                if new is not item:
                    value[key] = new
            if len(unknown) > before:
                _prefix(unknown, before, key)
        for key in absent:
            del value[key]
        return value

    return run


def _map_check(node: Node, element: Node) -> Check:
    checker, go_type, strict = checker_of(element), _go_type(node), node.go

    def run(value: Any, unknown: Findings) -> Any:
        if type(value) is not dict:
            if strict:
                raise _Mismatch(value, go_type)
            return value
        for key, item in value.items():
            if type(item) is str and checker is _string:
                continue
            before = len(unknown)
            new = zero_value(element) if item is None and strict else checker(item, unknown)
            if new is not item:
                value[key] = new
            if len(unknown) > before:
                _prefix(unknown, before, key)
        return value

    return run


def _array_check(node: Node, element: Node) -> Check:
    go_type, strict = _go_type(node), node.go

    def run(value: Any, unknown: Findings) -> Any:
        if type(value) is not list:
            if strict:
                raise _Mismatch(value, go_type)
            return value
        checker = checker_of(element)
        for i, item in enumerate(value):
            before = len(unknown)
            new = zero_value(element) if item is None and strict else checker(item, unknown)
            if new is not item:
                value[i] = new
            if len(unknown) > before:
                _prefix(unknown, before, f"[{i}]")
        return value

    return run


def _prefix(paths: list[str], start: int, prefix: str) -> None:
    for i in range(start, len(paths)):
        separator = "" if paths[i].startswith("[") else "."
        paths[i] = f"{prefix}{separator}{paths[i]}"


def _keep(value: Any, unknown: Findings) -> Any:
    return value


def _string(value: Any, unknown: Findings) -> Any:
    if type(value) is not str:
        raise _Mismatch(value, "string")
    return value


def _boolean(value: Any, unknown: Findings) -> Any:
    if type(value) is not bool:
        raise _Mismatch(value, "bool")
    return value


def _number(value: Any, unknown: Findings) -> Any:
    if type(value) not in (int, float):
        raise _Mismatch(value, "float64")
    return value


def _integer_check(format_: str) -> Check:
    bound = _INT_RANGES.get(format_, 2**63)

    def run(value: Any, unknown: Findings) -> Any:
        if type(value) is not int or not -bound <= value < bound:
            raise _Mismatch(value, format_)
        return value

    return run


def _quantity(value: Any, unknown: Findings) -> Any:
    if type(value) is str or type(value) in (int, float):
        return quantities.canonical(value)
    raise ValueError(quantities.FORMAT_WRONG)


def _int_or_string(value: Any, unknown: Findings) -> Any:
    if type(value) is str or (type(value) is int and -(2**31) <= value < 2**31):
        return value
    raise ValueError(f"json: cannot unmarshal {json_type(value)} into Go value of type int32")


def _bytes(value: Any, unknown: Findings) -> Any:
    if type(value) is not str:
        raise _Mismatch(value, "[]uint8")
    text = value.replace("\r", "").replace("\n", "")
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"illegal base64 data at input byte {_bad_base64_at(text)}") from None
    if len(text) % 4:
        raise ValueError(f"illegal base64 data at input byte {len(text) // 4 * 4}")
    return value if text == value else text


def _bad_base64_at(text: str) -> int:
    body = text.rstrip("=")
    good = re.match("[A-Za-z0-9+/]*", body)
    at = good.end() if good else 0
    return at if at < len(body) else len(text) // 4 * 4


def _time(value: Any, unknown: Findings) -> Any:
    moment = _moment(value, "2006-01-02T15:04:05Z07:00", micro=False)
    text = moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")
    return value if text == value else text


def _micro_time(value: Any, unknown: Findings) -> Any:
    moment = _moment(value, "2006-01-02T15:04:05.000000Z07:00", micro=True)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
    return value if text == value else text


def _moment(value: Any, layout: str, *, micro: bool) -> datetime:
    """The time that a string names, in UTC; ValueError with a message like ``time.Parse``'s."""
    if type(value) is not str:
        why = f"json: cannot unmarshal {json_type(value)} into Go value of type string"
        raise ValueError(why)
    match = _RFC3339.fullmatch(value)
    if match is None or (micro and len(match[2] or "") != 6):
        raise ValueError(f'parsing time "{value}" as "{layout}": cannot parse {_rest_of(value)}')
    seconds, fraction, zone = match.groups()
    fraction = (fraction or "0")[:6].ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{seconds}.{fraction}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f'parsing time "{value}": day out of range') from None


def _rest_of(value: str) -> str:
    """Where ``time.Parse`` stops, and the part of the layout that it wanted there."""
    wanted = (
        (r"\d{4}", "2006"), ("-", "-"), (r"\d\d", "01"), ("-", "-"), (r"\d\d", "02"), ("T", "T"),
        (r"\d\d", "15"), (":", ":"), (r"\d\d", "04"), (":", ":"), (r"\d\d", "05"),
        (r"\.\d{6}", ".000000"), (r"Z|[+-]\d\d:\d\d", "Z07:00"),
    )  # fmt: skip
    rest = value
    for pattern, name in wanted:
        found = re.match(pattern, rest)
        if found is None and name != ".000000":
            return f'"{rest}" as "{name}"'
        rest = rest[found.end() :] if found else rest
    return f'"{rest}" as "Z07:00"'


_CONTAINERS = frozenset({Kind.ARRAY, Kind.MAP, Kind.BYTES})
_SCALAR_CHECKS: dict[Kind, Check] = {
    Kind.STRING: _string,
    Kind.BOOLEAN: _boolean,
    Kind.NUMBER: _number,
    Kind.QUANTITY: _quantity,
    Kind.INT_OR_STRING: _int_or_string,
    Kind.BYTES: _bytes,
    Kind.TIME: _time,
    Kind.MICRO_TIME: _micro_time,
}
_ELEMENT_ZEROS: dict[Kind, Any] = {
    Kind.STRING: "",
    Kind.INTEGER: 0,
    Kind.NUMBER: 0,
    Kind.BOOLEAN: False,
    Kind.QUANTITY: "0",
    Kind.INT_OR_STRING: 0,
}


def json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return f"number {value}" if isinstance(value, float) or abs(value) >= 2**31 else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _go_type(node: Node) -> str:
    """The Go type that a node stands for, as far as the definitions tell it."""
    if node.kind is Kind.ARRAY and node.element is not None:
        return "[]" + _go_type(node.element)
    if node.kind is Kind.MAP and node.element is not None:
        if node.element.kind is Kind.QUANTITY:
            return "v1.ResourceList"
        return "map[string]" + _go_type(node.element)
    if node.name:
        package, _, type_name = node.name.rpartition(".")
        return f"{package.rpartition('.')[2]}.{type_name}"
    if node.kind is Kind.INTEGER:
        return node.format or "int64"
    names = {Kind.BOOLEAN: "bool", Kind.NUMBER: "float64", Kind.BYTES: "[]uint8"}
    return names.get(node.kind, "string")


def _bad(obj: Any, why: str) -> BadRequest:
    kind, version = "", ""
    if isinstance(obj, dict):
        kind = str(obj.get("kind", ""))
        version = str(obj.get("apiVersion", "")).rpartition("/")[2]
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')
