"""JSON Patch (RFC 6902), with the behaviour of the library that upstream uses.

Its departures from the RFC: array indices may be negative, the root cannot be addressed, and a
``test`` for null holds for what is not there.
"""

from collections.abc import Sequence
from typing import Any

from sagong.api.errors import BadRequest, Invalid, RequestEntityTooLarge
from sagong.api.meta import deep_copy

OPERATIONS_MAX = 10_000  # upstream's bound on the work of one request; past it 413


class _Failed(Exception):
    """An operation does not apply."""


class _Untrue(_Failed):
    """A test found another value."""


class TestFailed(Invalid):
    """The patch is one, but what it tests for is not so."""


def apply_json_patch(doc: Any, operations: Any) -> Any:
    """A copy of ``doc`` after all operations, in order; none is done if one fails.

    Raises BadRequest if it is no patch, RequestEntityTooLarge if it is too long, Invalid if an
    operation does not apply.
    """
    if not isinstance(operations, list) or not all(isinstance(o, dict) for o in operations):
        raise BadRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > OPERATIONS_MAX:
        raise RequestEntityTooLarge(
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{OPERATIONS_MAX}, got {len(operations)}"
        )
    new = deep_copy(doc)
    try:
        for operation in operations:
            _apply(new, operation)
    except _Failed as failed:
        message = "the server rejected our request due to an error in our request"
        kind = TestFailed if isinstance(failed, _Untrue) else Invalid
        raise kind(message, details={}) from None
    return new


def _apply(doc: Any, operation: dict[str, Any]) -> None:
    path = _tokens(operation.get("path"))
    match operation.get("op"):
        case "add":
            _add(doc, path, deep_copy(_value(operation)))
        case "remove":
            _remove(doc, path)
        case "replace":
            _replace(doc, path, deep_copy(_value(operation)))
        case "move":
            _add(doc, path, _remove(doc, _tokens(operation.get("from"))))
        case "copy":
            _add(doc, path, deep_copy(_get(doc, _tokens(operation.get("from")))))
        case "test":
            _test(doc, path, operation.get("value"))
        case _:
            raise _Failed


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise _Failed
    return operation["value"]


def _tokens(pointer: Any) -> Sequence[str]:
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise _Failed
    return [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]


def _parent(doc: Any, path: Sequence[str]) -> Any:
    """The container that the last token addresses into."""
    for token in path[:-1]:
        doc = _child(doc, token)
    if not isinstance(doc, (dict, list)):
        raise _Failed
    return doc


def _child(container: Any, token: str) -> Any:
    if isinstance(container, dict) and token in container:
        return container[token]
    if isinstance(container, list):
        return container[_index(token, len(container))]
    raise _Failed


def _index(token: str, bound: int) -> int:
    """A position below ``bound``, counted from the end if negative."""
    digits = token.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise _Failed
    index = int(token)
    if not -bound <= index < bound:
        raise _Failed
    return index % bound if bound else 0


def _get(doc: Any, path: Sequence[str]) -> Any:
    return _child(_parent(doc, path), path[-1])


def _add(doc: Any, path: Sequence[str], value: Any) -> None:
    parent, token = _parent(doc, path), path[-1]
    if isinstance(parent, dict):
        parent[token] = value
    elif token == "-":
        parent.append(value)
    else:
        parent.insert(_index(token, len(parent) + 1), value)


def _remove(doc: Any, path: Sequence[str]) -> Any:
    parent, token = _parent(doc, path), path[-1]
    value = _child(parent, token)
    if isinstance(parent, dict):
        del parent[token]
    else:
        del parent[_index(token, len(parent))]
    return value


def _replace(doc: Any, path: Sequence[str], value: Any) -> None:
    parent, token = _parent(doc, path), path[-1]
    _child(parent, token)
    parent[token if isinstance(parent, dict) else _index(token, len(parent))] = value


def _test(doc: Any, path: Sequence[str], expected: Any) -> None:
    parent, token = _parent(doc, path), path[-1]
    actual = parent.get(token) if isinstance(parent, dict) else _child(parent, token)
    if not _same(actual, expected):
        raise _Untrue


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, bool) is isinstance(b, bool) and bool(a == b)
