"""MutatingAdmissionWebhook: webhooks that may change an object, one after the other.

Source of semantics: apiserver's ``pkg/admission/plugin/webhook/mutating`` (dispatcher,
reinvocationcontext).
"""

from dataclasses import dataclass, field

import orjson

from sagong.api.decode import check
from sagong.api.errors import ApiError
from sagong.api.meta import deep_copy
from sagong.api.patches.json_patch import apply_json_patch
from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Mutating
from sagong.server.admission.webhooks.calling import Caller, internal
from sagong.server.admission.webhooks.hooks import MUTATING, Hook, Hooks
from sagong.server.admission.webhooks.reviews import Verdict, operations_of
from sagong.server.admission.webhooks.versions import Shown, Versions

# What an object to be created has only once admission is over.
_LATER = ("uid", "creationTimestamp", "generation")


@dataclass(slots=True)
class Rounds:
    """What one write remembers from the first round for the second."""

    may_come_again: set[str] = field(default_factory=set)  # uids of webhooks called so far
    due: set[str] = field(default_factory=set)  # those for whom something has changed since
    last: bytes = b""  # the object after the last webhook

    def changed(self) -> None:
        self.due |= self.may_come_again
        self.may_come_again.clear()


class MutatingAdmissionWebhook(Mutating):
    name = "MutatingAdmissionWebhook"

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._hooks = Hooks(MUTATING)

    async def admit(self, attributes: Attributes) -> None:
        hooks = self._hooks.concerned(attributes, self._caller.means.kinds.equivalents)
        if not hooks:
            return
        rounds: Rounds = attributes.memory.setdefault(self.name, Rounds())
        if attributes.is_again and encoded(attributes.obj) != rounds.last:
            rounds.changed()  # by other plugins, in this round
        try:
            await self._call_all(hooks, attributes, rounds)
        finally:
            rounds.last = encoded(attributes.obj)

    async def _call_all(
        self, hooks: tuple[Hook, ...], attributes: Attributes, rounds: Rounds
    ) -> None:
        versions = Versions(self._caller.means.kinds, attributes)
        for hook in hooks:
            shown = await self._caller.shown_to(hook, attributes, versions)
            if shown is None or (attributes.is_again and hook.uid not in rounds.due):
                continue  # who was not called at first is not called for the first time again
            rounds.due.discard(hook.uid)
            changed = await self._call(hook, attributes, shown, versions)
            if changed:
                rounds.changed()
                attributes.is_again_wanted = True
            if hook.is_reinvoked:
                rounds.may_come_again.add(hook.uid)

    async def _call(
        self, hook: Hook, attributes: Attributes, shown: Shown, versions: Versions
    ) -> bool:
        """Ask, and carry out what the webhook wants; whether anything changed."""
        creates = attributes.operation is Operation.CREATE
        seen = Shown(shown.wanted, before_creation(shown.obj), shown.old) if creates else shown
        said = await self._caller.ask(hook, attributes, seen)
        if said is None or not said.patch:
            return False
        changed = self._patched(hook, said, seen)
        if changed is None:
            return False
        if creates and shown.obj is not None:
            restore(changed, shown.obj)
        if changed == shown.obj:
            return False
        await versions.take(shown.wanted, changed)
        return True

    def _patched(self, hook: Hook, said: Verdict, seen: Shown) -> Obj | None:
        """The object after the webhook's patch, in its kind's form. Raises InternalError."""
        try:
            operations = operations_of(said.patch)
        except orjson.JSONDecodeError as error:
            raise internal(str(error)) from error
        if not operations:
            return None
        if seen.obj is None:
            raise internal(
                f'admission webhook "{hook.name}" attempted to modify the object, which is not '
                "supported for this operation"
            )
        served = self._caller.means.kinds.of(seen.wanted)
        try:
            patched = deep_copy(apply_json_patch(seen.obj, operations))
            is_own = patched.get("kind") == served.resource.kind
            if served.node is not None and is_own:
                check(patched, served.node)
        except ApiError as error:
            raise internal(error.message) from error
        if is_own and not served.is_converted:
            served.strategy.default(patched)
        result: Obj = patched
        return result


def encoded(obj: Obj | None) -> bytes:
    """What tells whether an object has changed."""
    return orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)


def before_creation(obj: Obj | None) -> Obj | None:
    """As clients' webhooks expect it: what the server adds to the metadata comes later."""
    metadata = (obj or {}).get("metadata")
    if obj is None or not isinstance(metadata, dict):
        return obj
    kept = {name: value for name, value in metadata.items() if name not in _LATER}
    return {**obj, "metadata": kept}


def restore(changed: Obj, before: Obj) -> None:
    """Give ``changed`` back what ``before_creation`` left out."""
    metadata = changed.get("metadata")
    if not isinstance(metadata, dict):
        return
    for name in _LATER:
        metadata.pop(name, None)
        if name in before.get("metadata", {}):
            metadata[name] = before["metadata"][name]
