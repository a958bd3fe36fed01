"""Strategic merge patch: maps merge, lists merge by key where the schema says so.

The semantics are those of apimachinery's ``strategicpatch``: ``$patch: replace|delete`` in maps and
list items, ``$retainKeys``, ``$setElementOrder/<list>`` and ``$deleteFromPrimitiveList/<list>``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sagong.api.errors import ApiError, BadRequest, Invalid
from sagong.api.schema import Kind, Node
from sagong.api.types import Obj

PATCH = "$patch"
RETAIN_KEYS = "$retainKeys"
SET_ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"


def apply_strategic_patch(doc: Obj, patch: Any, node: Node | None) -> Obj:
    """``doc`` with the patch merged in; shares parts with both, changes neither.

    ``node`` is the kind's schema. Raises BadRequest for malformed directives, Invalid for lists of
    lists, ApiError 500 (as upstream does) for list items without their merge key.
    """
    if not isinstance(patch, dict):
        raise BadRequest("invalid JSON document")
    return _merge_map(doc, patch, node)


def _merge_map(original: Obj, patch: Obj, node: Node | None) -> Obj:
    directive = patch.get(PATCH)
    if directive == "replace":
        return {k: v for k, v in patch.items() if k != PATCH}
    if directive == "delete":
        return {}
    if PATCH in patch:
        raise _bad_directive(directive, patch)
    merged = _retained(original, patch)
    done = {PATCH, RETAIN_KEYS}
    for key in patch:
        if key.startswith(SET_ORDER):
            name = key.removeprefix(SET_ORDER)
            _merge_ordered(merged, patch, name, _field(node, name))
            done |= {key, name}
    for key, value in patch.items():
        if key in done:
            continue
        if key.startswith(DELETE_FROM):
            _delete_primitives(merged, key.removeprefix(DELETE_FROM), value)
        elif value is None:
            merged.pop(key, None)
        elif key in merged and type(merged[key]) is type(value):
            merged[key] = _merge_value(merged[key], value, _field(node, key))
        else:
            merged[key] = _plain(value)
    return merged


def _merge_value(original: Any, patch: Any, field: Node | None) -> Any:
    """Two values of one type."""
    strategies = field.patch_strategies if field is not None else frozenset()
    if isinstance(patch, dict):
        return patch if "replace" in strategies else _merge_map(original, patch, field)
    if isinstance(patch, list):
        if "merge" not in strategies or field is None:
            return patch
        return _merge_list(original, patch, field)
    return patch


def _retained(original: Obj, patch: Obj) -> Obj:
    """A copy of the original, without what ``$retainKeys`` does not name."""
    if RETAIN_KEYS not in patch:
        return dict(original)
    keys = patch[RETAIN_KEYS]
    if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
        raise BadRequest("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith("$") and key not in keys:
            raise BadRequest("invalid patch format of retainKeys")
    return {k: v for k, v in original.items() if k in keys}


def _delete_primitives(merged: Obj, name: str, values: Any) -> None:
    if not isinstance(values, list):
        raise BadRequest("invalid patch format of primitive list")
    if isinstance(merged.get(name), list):
        merged[name] = [item for item in merged[name] if item not in values]


def _merge_ordered(merged: Obj, patch: Obj, name: str, field: Node | None) -> None:
    """Merge a list whose order the patch prescribes."""
    order = patch[SET_ORDER + name]
    if not isinstance(order, list):
        raise BadRequest("invalid patch format of setElementOrder list")
    before, change = merged.get(name), patch.get(name)
    if name in patch and change is None:
        merged.pop(name, None)
        return
    if isinstance(before, list) and isinstance(change, list):
        items = _merge_value(before, change, field)
    elif isinstance(change, list):
        items = _plain(change)
    elif isinstance(before, list):
        items = before
    else:
        return
    key = field.merge_key if field is not None else ""
    server = before if isinstance(before, list) else []
    merged[name] = _ordered(items, order, server, _identity(items, key))


def _merge_list(original: list[Any], patch: list[Any], field: Node) -> list[Any]:
    """Merge lists item by item, as the field's strategy is "merge"."""
    if not original and not patch:
        return original
    kinds = {type(item) for item in (*original, *patch)}
    if list in kinds:
        message = "the server rejected our request due to an error in our request"
        raise Invalid(message, details={})
    if dict not in kinds:
        items = list(dict.fromkeys([*original, *patch]))
        return _ordered(items, patch, original, _itself)
    if len(kinds) > 1:
        names = " and ".join(sorted(k.__name__ for k in kinds))
        raise ApiError(f"list element types are not identical: {names}")
    key = field.merge_key
    if not key:
        raise ApiError(f"cannot merge lists without merge key for {field.type_name}")
    kept, changes = _without_directives(original, patch, key)
    merged = list(kept)
    for change in changes:
        if key not in change:
            raise _no_merge_key(change, key)
        at = next((i for i, item in enumerate(merged) if item.get(key) == change[key]), None)
        if at is None:
            merged.append(_plain(change))
        else:
            merged[at] = _merge_map(merged[at], change, field.element)
    return _ordered(merged, changes, kept, _by(key))


def _without_directives(
    original: list[Obj], patch: list[Obj], key: str
) -> tuple[list[Obj], list[Obj]]:
    """The original after ``$patch: delete`` items, and the patch's other items."""
    changes: list[Obj] = []
    replace = False
    for item in patch:
        if PATCH not in item:
            changes.append(item)
        elif item[PATCH] == "delete":
            if key not in item:
                raise _no_merge_key(item, key)
            original = [o for o in original if o.get(key) != item[key]]
        elif item[PATCH] == "replace":
            replace = True
        elif item[PATCH] == "merge":
            raise ApiError("merging lists cannot yet be specified in the patch")
        else:
            raise _bad_directive(item[PATCH], item)
    return (changes, []) if replace else (original, changes)


def _ordered(
    items: list[Any], order: list[Any], server: list[Any], identity: Callable[[Any], Any]
) -> list[Any]:
    """Patched items in the patch's order; the others keep their place among those they had.

    An item that the server did not know goes before the rest, as upstream does it.
    """
    wanted = _positions(order, identity)
    known = _positions(server, identity)
    patched = [item for item in items if identity(item) in wanted]
    others = [item for item in items if identity(item) not in wanted]
    patched.sort(key=lambda item: wanted[identity(item)])
    others.sort(key=lambda item: known.get(identity(item), len(known)))
    result: list[Any] = []
    left = right = 0
    while left < len(others) and right < len(patched):
        mine, theirs = known.get(identity(others[left])), known.get(identity(patched[right]))
        if mine is not None and theirs is not None and mine < theirs:
            result.append(others[left])
            left += 1
        else:
            result.append(patched[right])
            right += 1
    return [*result, *patched[right:], *others[left:]]


def _positions(items: Sequence[Any], identity: Callable[[Any], Any]) -> dict[Any, int]:
    positions: dict[Any, int] = {}
    for i, item in enumerate(items):
        positions.setdefault(identity(item), i)
    return positions


def _identity(items: list[Any], key: str) -> Callable[[Any], Any]:
    return _by(key) if items and isinstance(items[0], dict) else _itself


def _by(key: str) -> Callable[[Any], Any]:
    def identity(item: Any) -> Any:
        return item.get(key) if isinstance(item, dict) else item

    return identity


def _itself(item: Any) -> Any:
    return item if not isinstance(item, (dict, list)) else id(item)


def _plain(value: Any) -> Any:
    """A patch value where there was none: without nulls and directives."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None and not _is_directive(k)}
    if isinstance(value, list):
        return [_plain(item) for item in value if not (isinstance(item, dict) and PATCH in item)]
    return value


def _is_directive(key: str) -> bool:
    return key in (PATCH, RETAIN_KEYS) or key.startswith((SET_ORDER, DELETE_FROM))


def _field(node: Node | None, name: str) -> Node | None:
    if node is None or node.kind is Kind.ARRAY:
        # Of a list's own node, the fields are those of its items.
        node = node.element if node is not None else None
    return node.field(name) if node is not None else None


def _no_merge_key(item: Obj, key: str) -> ApiError:
    return ApiError(f"map: {_go_map(item)} does not contain declared merge key: {key}")


def _bad_directive(directive: Any, patch: Obj) -> ApiError:
    return ApiError(f"unknown patch type: {directive} in map: {_go_map(patch)}")


def _go_map(value: Any) -> str:
    """A value as Go's ``%v`` prints it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_go_map(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go_map, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)
