"""Validation of ``x-kubernetes-validations`` in definitions: they must compile and be affordable.

Source of semantics and texts: apiextensions' ``apis/apiextensions/validation``. Rules are looked at
once the schema itself is right.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sagong.api.cel.estimate import UNKNOWN, cost_max
from sagong.api.cel.schema_types import items_max, properties_max, sized_type, type_of_schema
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.custom_resources.rule_evaluation import (
    Compiled,
    compile_rules,
    field_path_parts,
)
from sagong.server.custom_resources.rules import KEY

RULE_COST_MAX = 10_000_000  # upstream's StaticEstimatedCostLimit
TOTAL_COST_MAX = 100_000_000  # upstream's StaticEstimatedCRDCostLimit
_MOST_EXPENSIVE = 4  # rules that are named where the total is too high
_REASONS = (
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
)
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, "
    "maps, and strings are declared)"
)


@dataclass(frozen=True, slots=True)
class _At:
    """A schema node: where it is, how many values it has at most, what cannot be followed."""

    schema: Obj
    path: Path
    count: int = 1
    uncorrelated: Path | None = None  # the nearest ancestor whose parts have no old values
    is_root: bool = False


@dataclass(slots=True)
class _Total:
    """What all rules of a schema may cost."""

    cost: int = 0
    rules: list[tuple[int, Path]] = field(default_factory=list)

    def add(self, cost: int, path: Path) -> None:
        self.cost = min(self.cost + cost, UNKNOWN)
        self.rules.append((cost, path))


def validate_rules(schema: Obj, path: Path, errors: ErrorList) -> None:
    """All rules of a version's schema."""
    before = len(errors)
    nodes = list(_nodes(_At(schema, path, is_root=True)))
    for at in nodes:
        for i, rule in enumerate(at.schema.get(KEY) or ()):
            _validate_form(rule, at, at.path.child(KEY).index(i), errors)
    if len(errors) > before:
        return
    total = _Total()
    for at in nodes:
        _validate_compiled(at, total, errors)
    if total.cost > TOTAL_COST_MAX:
        why = "contributed to estimated rule cost total exceeding cost limit for entire "
        dearest = sorted(total.rules, key=lambda found: -found[0])[:_MOST_EXPENSIVE]
        for _, where in dearest:
            errors.forbidden(where, f"{why}OpenAPIv3 schema")
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        errors.forbidden(path, too_dear(what, total.cost, TOTAL_COST_MAX))


def _nodes(at: _At) -> Iterator[_At]:
    yield at
    schema, path = at.schema, at.path
    is_atomic = schema.get("x-kubernetes-map-type") == "atomic"
    below = at.uncorrelated or (path if is_atomic else None)
    for name, sub in (schema.get("properties") or {}).items():
        if isinstance(sub, dict):
            yield from _nodes(_At(sub, path.child("properties").key(name), at.count, below))
    items = schema.get("items")
    if isinstance(items, dict):
        in_map = schema.get("x-kubernetes-list-type") == "map"
        below = at.uncorrelated or (None if in_map else path)
        count = _times(at.count, items_max(schema, _bytes_min(items)))
        yield from _nodes(_At(items, path.child("items"), count, below))
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        below = at.uncorrelated or (path if is_atomic else None)
        count = _times(at.count, properties_max(schema, _bytes_min(values)))
        yield from _nodes(_At(values, path.child("additionalProperties"), count, below))


def _bytes_min(schema: Obj) -> int:
    sized = sized_type(schema, "")
    return 1 if sized is None else sized.bytes_min


def _times(a: int, b: int) -> int:
    return min(a * b, UNKNOWN)


def _validate_form(rule: Obj, at: _At, path: Path, errors: ErrorList) -> None:
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not text:
        errors.required(path.child("rule"), "rule is not specified")
    elif message and not message.strip():
        errors.invalid(path.child("message"), message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        errors.invalid(path.child("message"), message, "message must not contain line breaks")
    elif "\n" in text and not message.strip():
        why = "message must be specified if rule contains line breaks"
        errors.required(path.child("message"), why)
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        why = "messageExpression must be non-empty if specified"
        errors.required(path.child("messageExpression"), why)
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        errors.not_supported(path.child("reason"), reason, list(_REASONS))
    _validate_field_path(rule.get("fieldPath") or "", at, path.child("fieldPath"), errors)


def _validate_field_path(text: str, at: _At, path: Path, errors: ErrorList) -> None:
    if not text:
        return
    if not text.strip():
        errors.invalid(path, text, "fieldPath must be non-empty if specified")
        return
    if "\n" in text:
        errors.invalid(path, text, "fieldPath must not contain line breaks")
        return
    problem = _path_problem(text, at.schema)
    if problem:
        errors.invalid(path, text, f"fieldPath must be a valid path: {problem}")


def _path_problem(text: str, schema: Obj) -> str:
    """Why no field of the schema is at a path; nothing if one is."""
    parts = field_path_parts(text)
    if parts is None:
        return f"expected [ or . but got: {text[:1]}"
    for name in parts:
        known = (schema.get("properties") or {}).get(name)
        if known is None:
            known = schema.get("additionalProperties")
        if not isinstance(known, dict):
            return f"does not refer to a valid field: {name}"
        schema = known
    return ""


def _validate_compiled(at: _At, total: _Total, errors: ErrorList) -> None:
    if not at.schema.get(KEY):
        return
    where = at.path.child(KEY)
    self_type = type_of_schema(at.schema, "selfType", is_root=at.is_root)
    if self_type is None:
        why = "failed to retrieve type information for x-kubernetes-validations"
        errors.internal(where, f"internal error: {why}")
        return
    for i, compiled in enumerate(compile_rules(at.schema, self_type)):
        _validate_one(compiled, at, where.index(i), total, errors)


def _validate_one(
    compiled: Compiled, at: _At, path: Path, total: _Total, errors: ErrorList
) -> None:
    where = path.child("rule")
    if compiled.program is None:
        errors.invalid(where, _in_go(compiled.rule), compiled.problem)
    else:
        cost = _times(cost_max(compiled.program.tree), at.count)
        if cost > RULE_COST_MAX:
            errors.forbidden(where, too_dear("estimated rule cost", cost, RULE_COST_MAX))
        total.add(cost, where)
    expression = path.child("messageExpression")
    if compiled.message_problem:
        errors.invalid(expression, _in_go(compiled.rule), compiled.message_problem)
    elif compiled.message is not None:
        cost = cost_max(compiled.message.tree)
        if cost > RULE_COST_MAX:
            what = "estimated messageExpression cost"
            errors.forbidden(expression, too_dear(what, cost, RULE_COST_MAX))
        total.add(cost, expression)
    if compiled.uses_old and at.uncorrelated is not None:
        message = "oldSelf cannot be used on the uncorrelatable portion of the schema within "
        errors.invalid(where, compiled.rule.get("rule"), f"{message}{at.uncorrelated}")
    elif not compiled.uses_old and compiled.rule.get("optionalOldSelf") is not None:
        value = compiled.rule["optionalOldSelf"]
        message = "may not be set if oldSelf is not used in rule"
        errors.invalid(path.child("optionalOldSelf"), value, message)


def _in_go(rule: Mapping[str, Any]) -> Obj:
    """A rule as upstream shows it: its internal type, by Go's field names."""
    return {
        "Rule": rule.get("rule") or "",
        "Message": rule.get("message") or "",
        "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }


def too_dear(what: str, cost: int, limit: int) -> str:
    """How far a cost is past its limit, with advice."""
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    elif factor < 1.5:
        shown = f"{factor:f}x"
    else:
        shown = f"{factor:.1f}x"
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"
