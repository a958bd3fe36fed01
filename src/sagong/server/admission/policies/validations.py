"""What validating policies say of one write: refusals, warnings, notes for the audit log.

Source of semantics: apiserver's ``pkg/admission/plugin/policy/validating`` (validator, dispatcher).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sagong.api.errors import ApiError, from_status
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import refuse
from sagong.server.admission.policies.compiled import Binding, Policy, Validation
from sagong.server.admission.policies.evaluating import Evaluation, Failed, OutOfBudget
from sagong.server.admission.policies.index import Around, Bound
from sagong.server.admission.policies.inputs import Answering, inputs_of
from sagong.server.admission.policies.parameters import Misconfigured, params_of
from sagong.server.admission.policies.seen import Seen
from sagong.server.admission.webhooks.versions import Versions

# Messages that an expression gives are cut off by upstream past this many bytes: not used at all.
MESSAGE_BYTES_MAX = 5 * 1024
# Values of audit annotations are cut at this length.
ANNOTATION_CHARACTERS_MAX = 10 * 1024
_FAILURE = "validation.policy.admission.k8s.io/validation_failure"
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


@dataclass(frozen=True, slots=True)
class Denial:
    """One validation that said no, or could not say."""

    message: str
    reason: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True)
class _Result:
    denials: tuple[Denial, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()  # for the audit log
    # Annotations that failed refuse the write, whatever the binding's actions.
    refusals: tuple[Denial, ...] = ()


class Validations:
    """All policies on one write; the first denial is what the client is told."""

    def __init__(self, around: Around, attributes: Attributes) -> None:
        self._around = around
        self._attributes = attributes
        self._versions = Versions(around.kinds, attributes)
        self._answering = Answering(around.authorizer, attributes.user)
        self._made: dict[Resource, dict[str, Any]] = {}  # variables, by version of the objects
        self._denied: list[tuple[str, str, Denial]] = []  # policy, binding, why

    async def apply(self, bound: Bound) -> None:
        attributes, policy = self._attributes, bound.policy
        equivalents = self._around.kinds.equivalents(attributes.resource, attributes.subresource)
        wanted = policy.constraints.wanted(attributes, equivalents)
        if wanted is None:
            return
        annotations: dict[str, list[str]] = {}
        for binding in bound.bindings:
            if binding.constraints.wanted(attributes, equivalents) is None:
                continue
            try:
                params = params_of(policy, binding, attributes, self._around)
            except Misconfigured as error:
                if not policy.fails_open:
                    named = "" if error.of_policy else binding.name
                    self._denied.append((policy.name, named, Denial(str(error))))
                continue
            shown = await self._versions.shown(wanted)
            seen = Seen(attributes, wanted, shown.obj, shown.old)
            for param in params:
                result = await self._decide(policy, seen, param)
                self._take(policy, binding, result, annotations)
        for key, values in annotations.items():
            attributes.annotations[f"{policy.name}/{key}"] = ", ".join(values)

    async def _decide(self, policy: Policy, seen: Seen, params: Obj | None) -> _Result:
        extra = {} if policy.param_kind is None else {"params": params}
        made = self._made.setdefault(seen.wanted, {})
        inputs = inputs_of(seen, self._answering, extra, made)
        return await self._answering.settle(lambda: decide(policy, inputs))

    def _take(
        self,
        policy: Policy,
        binding: Binding,
        result: _Result,
        annotations: dict[str, list[str]],
    ) -> None:
        for denial in result.denials:
            if "Deny" in binding.actions:
                self._denied.append((policy.name, binding.name, denial))
            if "Audit" in binding.actions:
                self._attributes.annotations[_FAILURE] = _failure(policy, binding, denial)
            if "Warn" in binding.actions:
                self._attributes.warnings.append(
                    f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding "
                    f"'{binding.name}': {denial.message}"
                )
        for denial in result.refusals:
            self._denied.append((policy.name, binding.name, denial))
        for key, value in result.annotations:
            values = annotations.setdefault(key, [])
            if value not in values:
                values.append(value)

    def finish(self) -> None:
        """Raises what the first denial refuses with."""
        if self._denied:
            raise _refusal(self._attributes, *self._denied[0])


def decide(policy: Policy, inputs: Any) -> _Result:
    """What a policy says of one write with one set of parameters. Pure."""
    match = policy.conditions.decide(inputs, failure_policy=policy.failure_policy)
    if match.error:
        return _Result(denials=(Denial(match.error),))
    if not match.matches:
        return _Result()
    evaluation = Evaluation(inputs, policy.variables)
    denials: list[Denial] = []
    for i, validation in enumerate(policy.validations):
        try:
            holds = evaluation.value(validation.expression)
        except OutOfBudget as error:
            return _Result(() if policy.fails_open else (Denial(str(error)),))
        except Failed as error:
            if not policy.fails_open:
                denials.append(Denial(str(error), index=i))
            continue
        if holds is not True:
            message = _message(evaluation, validation)
            denials.append(Denial(message, validation.reason, i))
    annotations, refusals = _annotations(policy, inputs)
    return _Result(tuple(denials), annotations, refusals)


def _message(evaluation: Evaluation, validation: Validation) -> str:
    """The expression's message if it gives a usable one, the fixed one, or the expression."""
    message = ""
    if validation.message_expression is not None:
        try:
            message = str(evaluation.value(validation.message_expression)).strip()
        except Failed:
            message = ""
        if len(message.encode()) > MESSAGE_BYTES_MAX or "\n" in message:
            message = ""
    failed = f"failed expression: {validation.expression.text.strip()}"
    return message or validation.message or failed


def _annotations(
    policy: Policy, inputs: Any
) -> tuple[tuple[tuple[str, str], ...], tuple[Denial, ...]]:
    found: list[tuple[str, str]] = []
    refusals: list[Denial] = []
    evaluation = Evaluation(inputs, policy.variables)
    for annotation in policy.audit_annotations:
        try:
            value = evaluation.value(annotation.expression)
        except Failed as error:
            if not policy.fails_open:
                refusals.append(Denial(str(error)))
            continue
        text = value.strip() if isinstance(value, str) else ""
        if text:
            found.append((annotation.key, text[:ANNOTATION_CHARACTERS_MAX]))
    return tuple(found), tuple(refusals)


def _failure(policy: Policy, binding: Binding, denial: Denial) -> str:
    said: Sequence[Obj] = [
        {
            "message": denial.message,
            "policy": policy.name,
            "binding": binding.name,
            "expressionIndex": denial.index,
            "validationActions": list(binding.actions),
        }
    ]
    return orjson.dumps(said).decode()


def _refusal(attributes: Attributes, policy: str, binding: str, denial: Denial) -> ApiError:
    names = names_of(policy, binding)
    why = f"ValidatingAdmissionPolicy {names} denied request: {denial.message}"
    status = refuse(attributes, why).status()
    reason = denial.reason or "Invalid"
    status["reason"], status["code"] = reason, _CODES.get(reason, 422)
    details = status.setdefault("details", {})
    details["causes"] = [*(details.get("causes") or ()), {"message": why}]
    return from_status(status)


def names_of(policy: str, binding: str) -> str:
    return f"'{policy}' with binding '{binding}'" if binding else f"'{policy}'"
