"""``matchConditions`` of webhooks, in CEL."""

from collections.abc import Sequence

from sagong.api.types import Obj
from sagong.server.admission.interface import Attributes
from sagong.server.admission.policies.inputs import Seen
from sagong.server.admission.policies.match_conditions import MatchConditions, compile_conditions
from sagong.server.admission.webhooks.hooks import Compile, ConditionsFailed
from sagong.server.admission.webhooks.versions import Shown
from sagong.server.authz.interface import Authorizer


class CelConditions:
    """The compiled conditions of one webhook."""

    def __init__(
        self, conditions: MatchConditions, authorizer: Authorizer, *, fails_open: bool
    ) -> None:
        self._conditions = conditions
        self._authorizer = authorizer
        self._failure_policy = "Ignore" if fails_open else "Fail"

    async def match(self, attributes: Attributes, shown: Shown) -> bool:
        """Do all hold for the write as the webhook sees it? Raises ConditionsFailed."""
        seen = Seen(attributes, shown.wanted, shown.obj, shown.old)
        match = await self._conditions.match(
            seen, self._authorizer, failure_policy=self._failure_policy
        )
        if match.error:
            raise ConditionsFailed(match.error)
        return match.matches


def compiler(authorizer: Authorizer) -> Compile:
    """Compiles the conditions of webhooks, which may ask this authorizer."""

    def compile_(conditions: Sequence[Obj], fails_open: bool) -> CelConditions:
        return CelConditions(compile_conditions(conditions), authorizer, fails_open=fails_open)

    return compile_
