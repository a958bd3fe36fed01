"""All authorisation modes as one: the first that allows or denies decides.

Source of semantics: apiserver's ``pkg/authorization/union`` and ``authorizerfactory``.
"""

from collections.abc import Sequence

from sagong.server.authz.interface import (
    NO_OPINION,
    Attributes,
    Authorizer,
    Decision,
    Effect,
)

PRIVILEGED_GROUP = "system:masters"


class PrivilegedAuthorizer:
    """The group that no policy can lock out."""

    async def authorize(self, attributes: Attributes) -> Decision:
        if PRIVILEGED_GROUP in attributes.user.groups:
            return Decision(Effect.ALLOW)
        return NO_OPINION


class UnionAuthorizer:
    """Modes in order. Reasons of those without an opinion are joined, one a line."""

    def __init__(self, modes: Sequence[Authorizer]) -> None:
        self._modes = (PrivilegedAuthorizer(), *modes)

    async def authorize(self, attributes: Attributes) -> Decision:
        reasons = []
        for mode in self._modes:
            decision = await mode.authorize(attributes)
            if decision.effect is not Effect.NO_OPINION:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(Effect.NO_OPINION, "\n".join(reasons))
