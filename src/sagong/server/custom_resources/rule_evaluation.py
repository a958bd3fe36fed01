"""Compiles rules, and evaluates them on custom resources, within one budget. Source of semantics
and texts: apiextensions' ``apiserver/schema/cel`` (validation, compilation).
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagong.api.cel.environment import COST_MAX, Environment, Program
from sagong.api.cel.errors import CelError, CompileError, CostExceeded, EvaluationError, Unfit
from sagong.api.cel.library.kubernetes import kubernetes_functions
from sagong.api.cel.schema_types import type_of_schema
from sagong.api.cel.types import BOOL, STRING, Type, optional_of
from sagong.api.cel.values import NONE, Optional, equal
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.custom_resources.rules import KEY
from sagong.server.custom_resources.values import NOTHING

log = logging.getLogger(__name__)

# What all rules may cost for one object (upstream: RuntimeCELCostBudget).
BUDGET = 10_000_000
MESSAGE_BYTES_MAX = 5 * 1024  # of what messageExpression gives; longer ones are not used
OUT_OF_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)
_PART = re.compile(r"\.([^.\[]+)|\['((?:[^'\\]|\\.)*)'\]|\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule, and what came of compiling it."""

    rule: Obj
    program: Program | None
    problem: str = ""
    message: Program | None = None
    message_problem: str = ""

    @property
    def uses_old(self) -> bool:
        return self.program is not None and "oldSelf" in self.program.variables


def compile_rules(schema: Obj, self_type: Type) -> list[Compiled]:
    """The rules of one schema node, about values of a type."""
    return [_compiled(rule, self_type) for rule in schema.get(KEY) or ()]


def _compiled(rule: Obj, self_type: Type) -> Compiled:
    old = optional_of(self_type) if rule.get("optionalOldSelf") else self_type
    environment = Environment(
        functions=kubernetes_functions(), variables={"self": self_type, "oldSelf": old}
    )
    problem, message_problem = "", ""
    program: Program | None = None
    message: Program | None = None
    try:
        program = _fit(environment, rule.get("rule") or "", BOOL, "cel expression", "bool")
    except Unfit as error:
        problem = str(error)
    text = rule.get("messageExpression") or ""
    if text.strip():
        try:
            message = _fit(environment, text, STRING, "messageExpression", "string")
        except Unfit as error:
            prefix = "messageExpression " if "compilation failed" in str(error) else ""
            message_problem = prefix + str(error)
    return Compiled(rule, program, problem, message, message_problem)


def _fit(environment: Environment, text: str, wanted: Type, what: str, kind: str) -> Program:
    try:
        program = environment.compile(text)
    except CompileError as error:
        raise Unfit(f"compilation failed: {error}") from None
    if program.type != wanted:
        raise Unfit(f"{what} must evaluate to a {kind}")
    return program


@dataclass(frozen=True, slots=True, eq=False)
class Ruled:
    """A schema node that has rules, or has some below it."""

    kind: str
    rules: Sequence[Compiled]
    convert: Callable[[Any], Any] | None
    properties: Mapping[str, "Ruled"]
    element: "Ruled | None"  # of a list or map
    is_correlated: bool  # is there an old value for each value below?
    keys: Sequence[str]  # of a list that is a map


def ruled(schema: Any, *, is_root: bool = False) -> Ruled | None:
    if not isinstance(schema, dict):
        return None
    given = schema.get("properties") or {}
    properties = {name: found for name, sub in given.items() if (found := ruled(sub)) is not None}
    element = ruled(schema.get("items")) or ruled(schema.get("additionalProperties"))
    rules: list[Compiled] = []
    convert = None
    if schema.get(KEY):
        self_type = type_of_schema(schema, "selfType", is_root=is_root)
        if self_type is not None:
            rules, convert = compile_rules(schema, self_type), self_type.convert
    if not rules and not properties and element is None:
        return None
    list_type = schema.get("x-kubernetes-list-type") or "atomic"
    is_list = schema.get("type") == "array"
    return Ruled(
        kind=schema.get("type") or "",
        rules=rules,
        convert=convert,
        properties=properties,
        element=element,
        is_correlated=list_type == "map"
        if is_list
        else schema.get("x-kubernetes-map-type") != "atomic",
        keys=tuple(schema.get("x-kubernetes-list-map-keys") or ()),
    )


class _OutOfBudget(Exception):
    """No further rule is evaluated."""


class Run:
    """All rules on one object, within one budget."""

    def __init__(self, errors: ErrorList) -> None:
        self._errors = errors
        self._left = BUDGET

    def visit(self, node: Ruled, value: Any, old: Any, path: Path) -> None:
        try:
            self._visit(node, value, old, path)
        except _OutOfBudget:
            return

    def _visit(self, node: Ruled, value: Any, old: Any, path: Path) -> None:
        if value is None:
            return
        if node.rules:
            self._evaluate(node, value, old, path)
        if isinstance(value, list) and node.element is not None:
            self._visit_items(node, node.element, value, old, path)
        elif isinstance(value, dict):
            self._visit_fields(node, value, old, path)

    def _visit_fields(self, node: Ruled, value: Obj, old: Any, path: Path) -> None:
        before = old if isinstance(old, dict) and node.is_correlated else {}
        for name, item in value.items():
            known = node.properties.get(name)
            if known is not None:
                self._visit(known, item, before.get(name, NOTHING), path.child(name))
            elif node.element is not None:
                self._visit(node.element, item, before.get(name, NOTHING), path.key(name))

    def _visit_items(
        self, node: Ruled, element: Ruled, value: list[Any], old: Any, path: Path
    ) -> None:
        before: dict[tuple[str, ...], Any] = {}
        if isinstance(old, list) and node.is_correlated:
            before = {_identity(item, node.keys): item for item in old}
        for i, item in enumerate(value):
            known = before.get(_identity(item, node.keys), NOTHING) if before else NOTHING
            self._visit(element, item, known, path.index(i))

    def _evaluate(self, node: Ruled, value: Any, old: Any, path: Path) -> None:
        convert = node.convert
        ours = value if convert is None else convert(value)
        has_old = old is not NOTHING and old is not None
        theirs = old if convert is None or not has_old else convert(old)
        is_same = has_old and equal(value, old)
        for compiled in node.rules:
            if compiled.rule.get("optionalOldSelf"):
                variables = {"self": ours, "oldSelf": Optional(theirs) if has_old else NONE}
            elif compiled.uses_old and not has_old:
                continue
            else:
                variables = {"self": ours, "oldSelf": theirs}
            # What was wrong before and is left as it was is not refused.
            found = ErrorList() if is_same and not compiled.uses_old else self._errors
            self._one(node, compiled, variables, value, path, found)

    def _one(
        self,
        node: Ruled,
        compiled: Compiled,
        variables: Mapping[str, Any],
        value: Any,
        path: Path,
        found: ErrorList,
    ) -> None:
        if compiled.program is None:
            found.invalid(path, node.kind, f"rule compile error: {compiled.problem}")
            return
        said = _said(compiled.rule)
        try:
            holds = self._value(compiled.program, variables, node, path, found)
        except CostExceeded as error:
            why = "no further validation rules will be run due to call cost exceeds limit for rule"
            found.invalid(path, node.kind, f"'{error}': {why}: {said}")
            raise _OutOfBudget from None
        except EvaluationError as error:
            if str(error).startswith("no such overload"):
                why = "call arguments did not match a supported operator, function or macro "
                why += f"signature for rule: {said}"
                found.invalid(path, node.kind, f"'{error}': {why}")
            else:
                found.invalid(path, node.kind, f"{error} evaluating rule: {said}")
            return
        if holds is not True:
            message = self._message(compiled, variables, node, path, found)
            shown = node.kind if node.kind in ("object", "array") else value
            _refuse(compiled.rule, _at(path, compiled.rule), shown, message, found)

    def _value(
        self,
        program: Program,
        variables: Mapping[str, Any],
        node: Ruled,
        path: Path,
        found: ErrorList,
    ) -> Any:
        """Raises EvaluationError, CostExceeded, _OutOfBudget."""
        try:
            outcome = program.run(variables, cost_max=min(self._left, COST_MAX))
        except CostExceeded:
            if self._left >= COST_MAX:
                raise
            found.invalid(path, node.kind, OUT_OF_BUDGET)
            raise _OutOfBudget from None
        self._left -= outcome.cost
        return outcome.value

    def _message(
        self,
        compiled: Compiled,
        variables: Mapping[str, Any],
        node: Ruled,
        path: Path,
        found: ErrorList,
    ) -> str:
        """What the rule's expression says if that is usable, else its message, else the rule."""
        said = ""
        if compiled.message is not None:
            try:
                said = str(self._value(compiled.message, variables, node, path, found)).strip()
            except CelError as error:
                log.debug("messageExpression of %s failed: %s", compiled.rule.get("rule"), error)
        if said and "\n" not in said and len(said.encode()) <= MESSAGE_BYTES_MAX:
            return said
        message = (compiled.rule.get("message") or "").strip()
        return message or f"failed rule: {_said(compiled.rule)}"


def _said(rule: Obj) -> str:
    return (rule.get("message") or "").strip() or (rule.get("rule") or "").strip()


def _identity(item: Any, keys: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(item, dict):
        return (repr(item),)
    return tuple(repr(item.get(key)) for key in keys)


def _refuse(rule: Obj, path: Path, value: Any, message: str, errors: ErrorList) -> None:
    reason = rule.get("reason")
    if reason == "FieldValueForbidden":
        errors.forbidden(path, message)
    elif reason == "FieldValueRequired":
        errors.required(path, message)
    elif reason == "FieldValueDuplicate":
        errors.duplicate(path, value)
    else:
        errors.invalid(path, value, message)


def field_path_parts(text: str) -> list[str] | None:
    """The names in ``.spec.names['a.b']``; None if that is no such path."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None or match[3] is not None:
            return None
        name = match[1] if match[1] is not None else match[2].replace("\\'", "'")
        parts.append(name)
        at = match.end()
    return parts or None


def _at(path: Path, rule: Obj) -> Path:
    """Where the error is: at the value, or at a field of it that the rule names."""
    for name in field_path_parts(rule.get("fieldPath") or "") or ():
        path = path.child(name) if re.fullmatch(r"[\w-]+", name) else path.key(name)
    return path
