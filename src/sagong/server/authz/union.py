"""All authorisation modes as one: the first that allows or denies decides.

Source of semantics: apiserver's ``pkg/authorization/union`` and ``authorizerfactory``.
"""

from collections.abc import Sequence

from sagong.server.authz.interface import (
    Attributes,
    Authorizer,
    Decision,
    Effect,
)

PRIVILEGED_GROUP = "system:masters"
_ALLOW = Decision(Effect.ALLOW)


class UnionAuthorizer:
    """Modes in order. Reasons of those without an opinion are joined, one a line.

    Before all of them comes the group that no policy can lock out.
    """

    def __init__(self, modes: Sequence[Authorizer]) -> None:
        self._modes = tuple(modes)

    async def authorize(self, attributes: Attributes) -> Decision:
        if PRIVILEGED_GROUP in attributes.user.groups:
            return _ALLOW
        reasons = []
        for mode in self._modes:
            decision = await mode.authorize(attributes)
            if decision.effect is not Effect.NO_OPINION:
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(Effect.NO_OPINION, "\n".join(reasons))
