"""Whether CEL expressions of policies and webhooks compile, in upstream's words."""

import re
from typing import Any

from sagong.api.cel.admission_types import PolicyEnvironment, admission_environment
from sagong.api.cel.environment import Environment
from sagong.api.cel.errors import Unfit
from sagong.api.cel.library.json_patch import JSON_PATCH
from sagong.api.cel.mutation_types import OBJECT
from sagong.api.cel.parser import RESERVED
from sagong.api.cel.types import BOOL, NULL, STRING, Type, list_of
from sagong.api.types import Obj
from sagong.api.validation import ErrorList, Path
from sagong.server.kinds import checks

# The patch types of mutations: the field that each has its expression in, and what it gives.
_PATCHES: dict[str, tuple[str, Type]] = {
    "ApplyConfiguration": ("applyConfiguration", OBJECT),
    "JSONPatch": ("jsonPatch", list_of(JSON_PATCH)),
}
_CONDITIONS_MAX = 64
_ANNOTATION_BYTES_MAX = 5 * 1024
_IDENTIFIER = re.compile("[_a-zA-Z][_a-zA-Z0-9]*")
_UNSPECIFIED = "expression is not specified"


def validate_conditions(
    owner: Obj, path: Path, errors: ErrorList, environment: Environment | None = None
) -> None:
    """``matchConditions`` of a webhook, or of a policy in its environment."""
    conditions = owner.get("matchConditions") or []
    if len(conditions) > _CONDITIONS_MAX:
        errors.too_many(path, len(conditions), _CONDITIONS_MAX)
    env = environment or (admission_environment() if conditions else None)
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        at = path.index(i)
        expression = (condition.get("expression") or "").strip()
        if checks.required(expression, at.child("expression"), errors) and env is not None:
            _compile(env, expression, at.child("expression"), errors, BOOL)
        name = condition.get("name") or ""
        if not checks.required(name, at.child("name"), errors):
            continue
        checks.qualified_name(name, at.child("name"), errors)
        if name in seen:
            errors.duplicate(at.child("name"), name)
        seen.add(name)


def _compile(
    environment: Environment, text: str, path: Path, errors: ErrorList, *wanted: Type
) -> None:
    try:
        environment.compile_as(text, *wanted)
    except Unfit as problem:
        errors.invalid(path, text, str(problem))


class PolicyExpressions:
    """The expressions of one policy, in the order in which they may refer to each other."""

    def __init__(self, spec: Obj, errors: ErrorList, *, mutates: bool) -> None:
        self._environment = PolicyEnvironment(
            has_params=spec.get("paramKind") is not None, mutates=mutates
        )
        self._errors = errors

    def conditions(self, spec: Obj, path: Path) -> None:
        validate_conditions(spec, path, self._errors, self._environment.conditions)

    def variables(self, spec: Obj, path: Path) -> None:
        seen: set[str] = set()
        for i, variable in enumerate(spec.get("variables") or ()):
            at, name = path.index(i), variable.get("name") or ""
            if checks.required(name, at.child("name"), self._errors, "name is not specified"):
                if _IDENTIFIER.fullmatch(name) is None or name in RESERVED:
                    message = "name is not a valid CEL identifier"
                    self._errors.invalid(at.child("name"), name, message)
                if name in seen:
                    self._errors.duplicate(at.child("name"), name)
                seen.add(name)
            where, text = at.child("expression"), variable.get("expression") or ""
            if not checks.required(text.strip(), where, self._errors, _UNSPECIFIED):
                continue
            try:
                self._environment.variable(name, text)
            except Unfit as problem:
                self._errors.invalid(where, text, str(problem))

    def validation(self, validation: Obj, path: Path) -> None:
        where, text = path.child("expression"), validation.get("expression") or ""
        if checks.required(text.strip(), where, self._errors, _UNSPECIFIED):
            _compile(self._environment.expressions(), text, where, self._errors, BOOL)
        text, where = validation.get("messageExpression") or "", path.child("messageExpression")
        if text and not text.strip():
            self._errors.invalid(where, text, "must be non-empty if specified")
        elif text:
            _compile(self._environment.messages(), text, where, self._errors, STRING)

    def audit_annotation(self, annotation: Obj, path: Path) -> None:
        where, text = path.child("valueExpression"), annotation.get("valueExpression") or ""
        message = "valueExpression is not specified"
        if not checks.required(text.strip(), where, self._errors, message):
            return
        if len(text.strip().encode()) > _ANNOTATION_BYTES_MAX:
            message = f"must not exceed {_ANNOTATION_BYTES_MAX} bytes in length"
            self._errors.required(where, message)
        else:
            env = self._environment.expressions()
            _compile(env, text, where, self._errors, STRING, NULL)

    def mutation(self, mutation: Obj, path: Path) -> None:
        type_: Any = mutation.get("patchType") or ""
        if not checks.one_of(type_, tuple(_PATCHES), path.child("patchType"), self._errors):
            return
        field, wanted = _PATCHES[type_]
        for other, _ in _PATCHES.values():
            if other != field and mutation.get(other) is not None:
                message = f"must be specified only when patchType is {type_}"
                self._errors.invalid(path.child(other), mutation[other], message)
        if mutation.get(field) is None:
            self._errors.required(path.child(field), f"must be specified when patchType is {type_}")
            return
        where = path.child(field, "expression")
        text = mutation[field].get("expression") or ""
        if checks.required(text.strip(), where, self._errors, _UNSPECIFIED):
            _compile(self._environment.expressions(), text, where, self._errors, wanted)
