"""What mutating policies make of the object of one write.

Source of semantics: apiserver's ``pkg/admission/plugin/policy/mutating``.
"""

from typing import Any

from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.policies.compiled import Binding, Policy
from sagong.server.admission.policies.evaluating import Evaluation, Failed
from sagong.server.admission.policies.index import Around, Bound
from sagong.server.admission.policies.inputs import Answering, inputs_of
from sagong.server.admission.policies.parameters import Misconfigured, params_of
from sagong.server.admission.policies.patching import mutated
from sagong.server.admission.policies.seen import Seen
from sagong.server.admission.policies.validations import names_of, refusal
from sagong.server.admission.webhooks.mutating import (
    Rounds,
    before_creation,
    restore,
)
from sagong.server.admission.webhooks.versions import Versions


class Mutations:
    """All policies on one write, one after the other."""

    def __init__(self, around: Around, attributes: Attributes, rounds: Rounds) -> None:
        self._around = around
        self._attributes = attributes
        self._rounds = rounds
        self._versions = Versions(around.kinds, attributes)
        self._answering = Answering(around.authorizer, attributes.user)

    async def apply(self, bound: Bound) -> None:
        attributes, policy = self._attributes, bound.policy
        if attributes.is_again and policy.name not in self._rounds.due:
            return  # who was not called at first is not called for the first time again
        equivalents = self._around.kinds.equivalents(attributes.resource, attributes.subresource)
        wanted = policy.constraints.wanted(attributes, equivalents)
        if wanted is None:
            return
        self._rounds.due.discard(policy.name)
        for binding in bound.bindings:
            if binding.constraints.wanted(attributes, equivalents) is None:
                continue
            try:
                await self._apply_binding(policy, binding, wanted)
            except (Failed, Misconfigured) as error:
                if not policy.fails_open:
                    raise self._refusal(policy, binding, error) from None
        if policy.is_reinvoked:
            self._rounds.may_come_again.add(policy.name)

    async def _apply_binding(self, policy: Policy, binding: Binding, wanted: Resource) -> None:
        """Raises Failed, Misconfigured."""
        for params in params_of(policy, binding, self._attributes, self._around.resources):
            shown = await self._versions.shown(wanted)
            if shown.obj is None:
                return
            creates = self._attributes.operation is Operation.CREATE
            obj = before_creation(shown.obj) if creates else shown.obj
            seen = Seen(self._attributes, wanted, obj, shown.old)
            changed = await self._mutated(policy, seen, params)
            if changed is None:
                continue
            if creates:
                restore(changed, shown.obj)
            if changed != shown.obj:
                await self._versions.take(wanted, changed)
                self._rounds.changed()
                self._attributes.is_again_wanted = True

    async def _mutated(self, policy: Policy, seen: Seen, params: Obj | None) -> Obj | None:
        extra: dict[str, Any] = {} if policy.param_kind is None else {"params": params}
        node = self._around.kinds.of(seen.wanted).node
        return await self._answering.settle(
            lambda: mutation_of(policy, seen, self._answering, extra, node)
        )

    def _refusal(self, policy: Policy, binding: Binding, error: Exception) -> Exception:
        of_policy = isinstance(error, Misconfigured) and error.of_policy
        names = names_of(policy.name, "" if of_policy else binding.name)
        return refusal(self._attributes, f"policy {names} denied request: {error}", "")


def mutation_of(
    policy: Policy, seen: Seen, answering: Answering, extra: dict[str, Any], node: Any
) -> Obj | None:
    """The object after all mutations of a policy; None if it does not match. Raises Failed."""
    inputs = inputs_of(seen, answering, extra)
    match = policy.conditions.decide(inputs, failure_policy=policy.failure_policy)
    if match.error:
        raise Failed(match.error)
    if not match.matches or seen.obj is None:
        return None
    obj = seen.obj
    for mutation in policy.mutations:
        shown = Seen(seen.attributes, seen.wanted, obj, seen.old)
        evaluation = Evaluation(inputs_of(shown, answering, extra), policy.variables)
        value = evaluation.value(mutation.expression)
        obj = mutated(obj, value, is_patch=mutation.is_patch, node=node)
    return obj
