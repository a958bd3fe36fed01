"""What is wrong with a custom resource by its definition's schema.

Each schema node is compiled once into a closure ``check(value, old, name, errors)``. What an update
leaves as it was is not refused again, even if the schema has become stricter meanwhile. Source of
semantics and texts: kube-openapi's ``validation/validate`` and apiextensions'
``apiserver/validation`` and ``apiserver/schema/listtype``, ``objectmeta``.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.custom_resources.formats import matches

# What there was before is not known, or there was nothing.
NOTHING: Any = object()

Check = Callable[[Any, Any, str, ErrorList], None]

_INT_OR_STRING = "x-kubernetes-int-or-string"
_RANGES = {"int32": 2**31, "int64": 2**63}


def validator(schema: Obj) -> Check:
    """The closure of a whole object's schema; ``name`` is "" at the root."""
    rules = _rules(schema)

    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if old is not NOTHING and old == value:
            return
        for rule in rules:
            rule(value, old, name, errors)

    return check


def _rules(schema: Obj) -> Sequence[Check]:
    nullable = bool(schema.get("nullable"))
    kind_rules = [
        *_string_rules(schema),
        *_number_rules(schema),
        *_array_rules(schema),
        *_object_rules(schema),
    ]
    combined = [*_enum_rule(schema), *_combinations(schema)]
    types = _types_of(schema)

    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if value is None and nullable:
            return
        found = type_of(value)
        right = not types or found in types or (found == "integer" and "number" in types)
        right = right or ("integer" in types and _is_whole(value))
        if not right:
            _wrong_type(errors, name, found, ",".join(types), found)
        for rule in kind_rules if right else ():
            rule(value, old, name, errors)
        for rule in combined:
            rule(value, old, name, errors)

    return [check]


def _types_of(schema: Obj) -> tuple[str, ...]:
    if schema.get(_INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def type_of(value: Any) -> str:
    """The JSON type of a value, in schemas' words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array"}
    return names.get(type(value), "object")


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _wrong_type(errors: ErrorList, name: str, value: str, wanted: str, shown: str) -> None:
    message = _at(name, f"must be of type {wanted}: {json.dumps(shown)}")
    text = f"Invalid value: {json.dumps(value)}: {message}"
    errors.add("FieldValueTypeInvalid", Path(name), text)


def _at(name: str, text: str) -> str:
    return f"{name} in body {text}" if name else f"in body {text}"


def _below(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field


def _enum_rule(schema: Obj) -> Sequence[Check]:
    allowed = schema.get("enum")
    if allowed is None:
        return ()
    shown = [v if isinstance(v, str) else json.dumps(v, separators=(",", ":")) for v in allowed]

    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if not any(value == v and type_of(value) == type_of(v) for v in allowed):
            errors.not_supported(Path(name), value, shown)

    return (check,)


def _string_rules(schema: Obj) -> Sequence[Check]:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    pattern, format_ = schema.get("pattern"), schema.get("format") or ""
    if longest is None and shortest is None and not pattern and not format_:
        return ()
    matches_pattern = _matcher(pattern) if pattern else None

    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if not isinstance(value, str):
            return
        if format_ and not matches(format_, value):
            _wrong_type(errors, name, value, format_, value)
        if longest is not None and len(value) > longest:
            errors.too_long(Path(name), longest)
        if shortest is not None and len(value) < shortest:
            text = _at(name, f"should be at least {shortest} chars long")
            errors.invalid(Path(name), value, text)
        if matches_pattern is not None and not matches_pattern(value):
            errors.invalid(Path(name), value, _at(name, f"should match '{pattern}'"))

    return (check,)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text has the pattern somewhere, as Go finds it: in time linear in the text."""
    expression: Any = None

    def found(text: str) -> bool:
        nonlocal expression
        if expression is None:
            # Imported here: RE2 is for definitions with patterns only.
            from sagong.api.patterns import compiled

            expression = compiled(pattern)
        return expression.search(text) is not None

    return found


def _number_rules(schema: Obj) -> Sequence[Check]:
    least, most, multiple = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    above, under = bool(schema.get("exclusiveMinimum")), bool(schema.get("exclusiveMaximum"))
    bound = _RANGES.get(schema.get("format") or "")
    if least is None and most is None and multiple is None and bound is None:
        return ()

    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        where = Path(name)
        if bound is not None and not -bound <= value < bound:
            _wrong_type(errors, name, "number", schema["format"], "number")
        if multiple and abs(value / multiple - round(value / multiple)) > 1e-9:
            errors.invalid(where, value, _at(name, f"should be a multiple of {multiple:g}"))
        if most is not None and (value > most or (under and value == most)):
            text = f"should be less than {'' if under else 'or equal to '}{_plain(most)}"
            errors.invalid(where, value, _at(name, text))
        if least is not None and (value < least or (above and value == least)):
            text = f"should be greater than {'' if above else 'or equal to '}{_plain(least)}"
            errors.invalid(where, value, _at(name, text))

    return (check,)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def _array_rules(schema: Obj) -> Sequence[Check]:
    items = schema.get("items")
    element = validator(items) if isinstance(items, dict) else None
    most, least = schema.get("maxItems"), schema.get("minItems")
    list_type = schema.get("x-kubernetes-list-type") or "atomic"
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if list_type == "map" else ()
    defaults = {
        key: sub["default"]
        for key, sub in ((items or {}).get("properties") or {}).items()
        if key in keys and "default" in sub
    }

    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if not isinstance(value, list):
            return
        if most is not None and len(value) > most:
            errors.too_many(Path(name), len(value), most)
        if least is not None and len(value) < least:
            text = _at(name, f"should have at least {least} items")
            errors.invalid(Path(name), len(value), text)
        before = _by_keys(old, keys, defaults)
        for i, item in enumerate(value if element is not None else ()):
            was = before.get(_key_of(item, keys, defaults), NOTHING) if before else NOTHING
            assert element is not None
            element(item, was, f"{name}[{i}]", errors)
        if list_type != "atomic":
            _check_unique(value, keys, defaults, name, errors)

    return (check,)


def _key_of(item: Any, keys: tuple[str, ...], defaults: Obj) -> str:
    """What identifies an item: the item itself in a set, its keys' values in a map."""
    if keys and isinstance(item, dict):
        item = {key: item.get(key, defaults.get(key)) for key in keys}
    return json.dumps(item, sort_keys=True)


def _by_keys(old: Any, keys: tuple[str, ...], defaults: Obj) -> Obj:
    if not keys or not isinstance(old, list):
        return {}
    return {_key_of(item, keys, defaults): item for item in old}


def _check_unique(
    value: list[Any], keys: tuple[str, ...], defaults: Obj, name: str, errors: ErrorList
) -> None:
    seen: set[str] = set()
    for i, item in enumerate(value):
        identity = _key_of(item, keys, defaults)
        if identity in seen:
            shown = json.loads(identity)
            errors.duplicate(Path(f"{name}[{i}]"), shown)
        seen.add(identity)


def _object_rules(schema: Obj) -> Sequence[Check]:
    fields = {name: validator(sub) for name, sub in (schema.get("properties") or {}).items()}
    additional = schema.get("additionalProperties")
    others = validator(additional) if isinstance(additional, dict) else None
    required = tuple(schema.get("required") or ())
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))

    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if not isinstance(value, dict):
            return
        if most is not None and len(value) > most:
            errors.too_many(Path(name), len(value), most)
        if least is not None and len(value) < least:
            text = _at(name, f"should have at least {least} properties")
            errors.invalid(Path(name), len(value), text)
        for field in required:
            if field not in value:
                errors.required(Path(_below(name, field)))
        for field in ("apiVersion", "kind") if embedded else ():
            if not value.get(field):
                errors.required(Path(_below(name, field)), "must not be empty")
        before = old if isinstance(old, dict) else {}
        for field, item in value.items():
            inner = fields.get(field, others)
            if inner is not None:
                inner(item, before.get(field, NOTHING), _below(name, field), errors)

    return (check,)


def _combinations(schema: Obj) -> Sequence[Check]:
    """``allOf``, ``anyOf``, ``oneOf`` and ``not``: whole schemas that must hold as well."""
    rules: list[Check] = []
    every = [validator(sub) for sub in schema.get("allOf") or ()]
    if every:
        rules.append(_all_of(every))
    some = [validator(sub) for sub in schema.get("anyOf") or ()]
    if some:
        rules.append(_any_of(some))
    one = [validator(sub) for sub in schema.get("oneOf") or ()]
    if one:
        rules.append(_one_of(one))
    if schema.get("not") is not None:
        rules.append(_not(validator(schema["not"])))
    return rules


def _failures(check: Check, value: Any, name: str) -> ErrorList:
    errors = ErrorList()
    check(value, NOTHING, name, errors)
    return errors


def _composite(errors: ErrorList, name: str, text: str) -> None:
    errors.invalid(Path(), "", f"{json.dumps(name)} {text}")


def _all_of(checks: Sequence[Check]) -> Check:
    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        failed = [found for c in checks if (found := _failures(c, value, name))]
        for found in failed:
            errors += found
        if len(failed) == len(checks):
            _composite(errors, name, "must validate all the schemas (allOf). None validated")
        elif failed:
            _composite(errors, name, "must validate all the schemas (allOf)")

    return check


def _any_of(checks: Sequence[Check]) -> Check:
    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        failed = [_failures(c, value, name) for c in checks]
        if all(failed):
            _composite(errors, name, "must validate at least one schema (anyOf)")
            errors += failed[0]

    return check


def _one_of(checks: Sequence[Check]) -> Check:
    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        failed = [_failures(c, value, name) for c in checks]
        valid = sum(1 for found in failed if not found)
        text = "must validate one and only one schema (oneOf)."
        if valid == 0:
            _composite(errors, name, f"{text} Found none valid")
            errors += failed[0]
        elif valid > 1:
            _composite(errors, name, f"{text} Found {valid} valid alternatives")

    return check


def _not(inner: Check) -> Check:
    def check(value: Any, old: Any, name: str, errors: ErrorList) -> None:
        if not _failures(inner, value, name):
            _composite(errors, name, "must not validate the schema (not)")

    return check
