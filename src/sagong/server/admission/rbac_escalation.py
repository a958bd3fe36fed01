"""Nobody grants what they do not hold, unless they may escalate or bind.

In upstream this stands in the storage of RBAC objects (``pkg/registry/rbac/*/policybased``); here
it is the last plugin that validates. ``system:masters`` may do everything.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from sagong.api.errors import not_found
from sagong.api.types import Obj, User
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.plugin import Validating, refuse
from sagong.server.authz.interface import Attributes as Question
from sagong.server.authz.interface import Authorizer, Effect
from sagong.server.authz.rules import compact, describe, quoted_list, uncovered
from sagong.server.authz.union import PRIVILEGED_GROUP

_GROUP = "rbac.authorization.k8s.io"
_ROLES = frozenset({"roles", "clusterroles"})
_BINDINGS = frozenset({"rolebindings", "clusterrolebindings"})
_EVERYTHING: tuple[Obj, ...] = (
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
)


class Resolver(Protocol):
    """What must be known of the policy (RbacAuthorizer is one)."""

    def rules_for(self, user: User, namespace: str) -> Sequence[Obj]: ...

    def problems_for(self, user: User, namespace: str) -> Sequence[str]: ...

    def rules_of_role(self, role_ref: Obj, namespace: str) -> Sequence[Obj] | None: ...


class RbacEscalation(Validating):
    name = "RBACEscalation"
    resources = frozenset(f"{plural}.{_GROUP}" for plural in (*_ROLES, *_BINDINGS))

    def __init__(self, authorizer: Authorizer, resolver: Resolver) -> None:
        self._authorizer = authorizer
        self._resolver = resolver

    async def validate(self, attributes: Attributes) -> None:
        resource = attributes.resource
        if resource.group != _GROUP or attributes.operation is Operation.DELETE:
            return
        if PRIVILEGED_GROUP in attributes.user.groups or attributes.obj is None:
            return
        if resource.plural in _ROLES:
            await self._check_role(attributes, attributes.obj)
        elif resource.plural in _BINDINGS:
            await self._check_binding(attributes, attributes.obj)

    async def _check_role(self, attributes: Attributes, role: Obj) -> None:
        old = attributes.old or {}
        aggregates = role.get("aggregationRule")
        if attributes.old is not None and (
            (old.get("rules") or []) == (role.get("rules") or [])
            and old.get("aggregationRule") == aggregates
        ):
            return
        if await self._may(attributes, "escalate", attributes.resource.plural, attributes.name):
            return
        problem = self._exceeds(attributes, role.get("rules") or [])
        if problem:
            raise refuse(attributes, problem)
        if aggregates and self._exceeds(attributes, _EVERYTHING):
            raise refuse(attributes, "must have cluster-admin privileges to use an aggregationRule")

    async def _check_binding(self, attributes: Attributes, binding: Obj) -> None:
        old = attributes.old
        if old is not None and all(
            old.get(part) == binding.get(part) for part in ("roleRef", "subjects")
        ):
            return
        role_ref = binding["roleRef"]
        plural = "clusterroles" if role_ref.get("kind") == "ClusterRole" else "roles"
        if await self._may(attributes, "bind", plural, role_ref["name"]):
            return
        rules = self._resolver.rules_of_role(role_ref, attributes.namespace)
        if rules is None:
            raise not_found(_GROUP, plural[:-1], role_ref["name"])
        problem = self._exceeds(attributes, rules)
        if problem:
            raise refuse(attributes, problem)

    async def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        question = Question(
            attributes.user,
            verb,
            group=_GROUP,
            version="*",
            resource=plural,
            namespace=attributes.namespace,
            name=name,
        )
        return (await self._authorizer.authorize(question)).effect is Effect.ALLOW

    def _exceeds(self, attributes: Attributes, rules: Iterable[Obj]) -> str:
        """What the user would grant without holding it, in upstream's words; "" if nothing."""
        user, namespace = attributes.user, attributes.namespace
        missing = uncovered(self._resolver.rules_for(user, namespace), rules)
        if not missing:
            return ""
        text = (
            f'user "{user.name}" (groups={quoted_list(user.groups)}) is attempting to grant RBAC'
            " permissions not currently held:\n"
            + "\n".join(sorted({describe(rule) for rule in compact(missing)}))
        )
        problems = self._resolver.problems_for(user, namespace)
        return f"{text}; resolution errors: [{', '.join(problems)}]" if problems else text
