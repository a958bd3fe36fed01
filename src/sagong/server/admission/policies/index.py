"""Policies with their bindings, found by what a write is about.

Asking costs three look-ups while policies and bindings stay the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagong.api.resources import ResourceTable
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes, Lister
from sagong.server.admission.webhooks.hooks import EXEMPT
from sagong.server.admission.webhooks.versions import Kinds
from sagong.server.authz.interface import Authorizer

if TYPE_CHECKING:
    from sagong.server.admission.policies.compiled import Binding, Policy

Equivalents = Callable[[Resource, str], Sequence[Resource]]


@dataclass(frozen=True, slots=True)
class Around:
    """What policies of either kind need to know of the server."""

    kinds: Kinds
    resources: ResourceTable
    authorizer: Authorizer


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A policy that is in force, with its bindings by name."""

    policy: "Policy"
    bindings: tuple["Binding", ...]


class Policies:
    """The policies of one kind (``validating`` or ``mutating``)."""

    def __init__(self, kind: str) -> None:
        group = "admissionregistration.k8s.io"
        self._policies = f"{kind}admissionpolicies.{group}"
        self._bindings = f"{kind}admissionpolicybindings.{group}"
        self._mutates = kind == "mutating"
        self._versions = (-1, -1)
        self._compiled: dict[tuple[str, str], Policy] = {}
        self._bound: tuple[Bound, ...] = ()
        self._concerned: dict[tuple[str, str, str], tuple[Bound, ...]] = {}

    def concerned(self, attributes: Attributes, equivalents: Equivalents) -> tuple[Bound, ...]:
        """Those whose rules name the write's operation and resource, by name."""
        lister = attributes.lister
        versions = (lister.version(self._policies), lister.version(self._bindings))
        if versions != self._versions:
            self._load(lister)
            self._versions = versions
        if not self._bound:
            return ()
        key = (attributes.operation.value, attributes.asked.name, attributes.subresource)
        found = self._concerned.get(key)
        if found is None:
            found = self._concerned[key] = self._find(attributes, equivalents)
        return found

    def _find(self, attributes: Attributes, equivalents: Equivalents) -> tuple[Bound, ...]:
        if attributes.resource.name in EXEMPT:
            return ()
        operation, subresource = attributes.operation.value, attributes.subresource
        versions = (attributes.asked, *equivalents(attributes.resource, subresource))
        names = tuple({(resource.group, resource.plural) for resource in versions})
        return tuple(
            bound
            for bound in self._bound
            if bound.policy.constraints.names(names, operation, subresource)
        )

    def _load(self, lister: Lister) -> None:
        """What has not changed keeps what was compiled of it."""
        self._concerned.clear()
        found = _by_name(lister, self._policies)
        if not found:
            self._compiled, self._bound = {}, ()
            return
        # Imported here: a server without policies does without CEL.
        from sagong.server.admission.policies.compiled import binding_of, policy_of

        bindings: dict[str, list[Binding]] = {}
        for obj in _by_name(lister, self._bindings):
            binding = binding_of(obj)
            bindings.setdefault(binding.policy, []).append(binding)
        known, self._compiled = self._compiled, {}
        bound: list[Bound] = []
        for obj in found:
            metadata = obj["metadata"]
            mine = bindings.get(metadata["name"])
            if not mine:
                continue  # not in force
            key = (metadata["uid"], str(metadata.get("generation")))
            policy = known.get(key) or policy_of(obj, mutates=self._mutates)
            self._compiled[key] = policy
            bound.append(Bound(policy, tuple(mine)))
        self._bound = tuple(bound)


def _by_name(lister: Lister, resource: str) -> list[Obj]:
    found = [item.obj for item in lister.list(resource)]
    return sorted(found, key=lambda obj: str(obj["metadata"]["name"]))
