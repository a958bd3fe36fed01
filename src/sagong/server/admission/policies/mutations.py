"""What mutating policies make of the object of one write.

Source of semantics: apiserver's ``pkg/admission/plugin/policy/mutating``.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sagong.api.errors import from_status
from sagong.api.meta import deep_copy
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import refuse
from sagong.server.admission.policies.compiled import Binding, Mutation, Policy
from sagong.server.admission.policies.evaluating import Evaluation, Failed
from sagong.server.admission.policies.index import Around, Bound
from sagong.server.admission.policies.inputs import Answering, inputs_of
from sagong.server.admission.policies.match_conditions import Match
from sagong.server.admission.policies.parameters import Misconfigured, params_of
from sagong.server.admission.policies.patching import mutated
from sagong.server.admission.policies.seen import Seen
from sagong.server.admission.policies.validations import names_of
from sagong.server.admission.webhooks.mutating import (
    Rounds,
    before_creation,
    restore,
)
from sagong.server.admission.webhooks.versions import Versions


class Mutations:
    """All policies on one write, one after the other; what goes wrong is told at the end."""

    def __init__(self, around: Around, attributes: Attributes, rounds: Rounds) -> None:
        self._around = around
        self._attributes = attributes
        self._rounds = rounds
        self._versions = Versions(around.kinds, attributes)
        self._answering = Answering(around.authorizer, attributes.user)
        self._failed: list[tuple[str, str]] = []  # what is to be said, and its reason

    async def apply(self, bound: Bound) -> None:
        attributes, policy = self._attributes, bound.policy
        equivalents = self._around.kinds.equivalents(attributes.resource, attributes.subresource)
        wanted = policy.constraints.wanted(attributes, equivalents)
        if wanted is None:
            return
        for binding in bound.bindings:
            if binding.constraints.wanted(attributes, equivalents) is None:
                continue
            try:
                found = params_of(policy, binding, attributes, self._around)
            except Misconfigured as error:
                self._fail(policy, "" if error.of_policy else binding.name, error, reason="")
                continue
            for params in found:
                await self._invoke(policy, binding, wanted, params)

    def finish(self) -> None:
        """Raises what the failures of policies refuse with."""
        if not self._failed:
            return
        message, reason = self._failed[0]
        status = refuse(self._attributes, message).status()
        status["message"] = message
        status["reason"] = reason or status["reason"]
        details = status.setdefault("details", {})
        details["causes"] = [{"message": said} for said, _ in self._failed]
        raise from_status(status)

    def _fail(self, policy: Policy, binding: str, error: object, *, reason: str) -> None:
        if policy.fails_open:
            return
        said = f"policy {names_of(policy.name, binding)} denied request: {error}"
        self._failed.append((said, reason))

    async def _invoke(
        self, policy: Policy, binding: Binding, wanted: Resource, params: Obj | None
    ) -> None:
        attributes, rounds = self._attributes, self._rounds
        shown = await self._versions.shown(wanted)
        if shown.obj is None:
            return
        creates = attributes.operation is Operation.CREATE
        before = before_creation(shown.obj) if creates else shown.obj
        seen = Seen(attributes, wanted, before, shown.old)
        extra: dict[str, Any] = {} if policy.param_kind is None else {"params": params}
        match = await self._match(policy, seen, extra)
        if match.error:
            self._fail(policy, binding.name, match.error, reason="Invalid")
        key = f"{policy.name}/{binding.name}/{identity_of(params)}"
        if not match.matches or (attributes.is_again and key not in rounds.due):
            return  # who was not called at first is not called for the first time again
        rounds.due.discard(key)
        changed = await self._mutated(policy, binding, seen, extra)
        if creates:
            restore(changed, shown.obj)
        if changed != shown.obj:
            await self._versions.take(wanted, changed)
            rounds.changed()
            attributes.is_again_wanted = True
        if policy.is_reinvoked:
            rounds.may_come_again.add(key)

    async def _match(self, policy: Policy, seen: Seen, extra: Mapping[str, Any]) -> Match:
        inputs = inputs_of(seen, self._answering, extra)
        return await self._answering.settle(
            lambda: policy.conditions.decide(inputs, failure_policy=policy.failure_policy)
        )

    async def _mutated(
        self, policy: Policy, binding: Binding, seen: Seen, extra: Mapping[str, Any]
    ) -> Obj:
        """The object after those of the mutations that succeed."""
        obj: Obj = deep_copy(seen.obj)
        for mutation in policy.mutations:
            try:
                obj = await self._one(policy, mutation, replace(seen, obj=obj), extra)
            except Failed as error:
                self._fail(policy, binding.name, error, reason="Invalid")
        return obj

    async def _one(
        self, policy: Policy, mutation: Mutation, seen: Seen, extra: Mapping[str, Any]
    ) -> Obj:
        """The object after one mutation. Raises Failed."""
        served = self._around.kinds.of(seen.wanted)
        assert seen.obj is not None
        obj = seen.obj

        def evaluate() -> Any:
            evaluation = Evaluation(inputs_of(seen, self._answering, extra), policy.variables)
            return evaluation.value(mutation.expression)

        value = await self._answering.settle(evaluate)
        changed = mutated(obj, value, is_patch=mutation.is_patch, node=served.node)
        if not served.is_converted and changed.get("kind") == served.resource.kind:
            served.strategy.default(changed)
        return changed


def identity_of(params: Obj | None) -> str:
    metadata = (params or {}).get("metadata") or {}
    return f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}"
