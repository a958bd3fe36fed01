"""ValidatingAdmissionWebhook: webhooks that may refuse a write, all at once.

Source of semantics: apiserver's ``pkg/admission/plugin/webhook/validating`` (dispatcher).
"""

import asyncio

from sagong.api.errors import ApiError
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import Validating
from sagong.server.admission.webhooks.calling import Caller
from sagong.server.admission.webhooks.hooks import VALIDATING, Hook, Hooks
from sagong.server.admission.webhooks.versions import Shown, Versions


class ValidatingAdmissionWebhook(Validating):
    name = "ValidatingAdmissionWebhook"

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._hooks = Hooks(VALIDATING)

    async def validate(self, attributes: Attributes) -> None:
        hooks = self._hooks.concerned(attributes, self._caller.means.kinds.equivalents)
        if not hooks:
            return
        versions = Versions(self._caller.means.kinds, attributes)
        asking: list[tuple[Hook, Shown]] = []
        for hook in hooks:
            shown = await self._caller.shown_to(hook, attributes, versions)
            if shown is not None:
                asking.append((hook, shown))
        found = await asyncio.gather(
            *(self._refused(hook, attributes, shown) for hook, shown in asking)
        )
        for error in found:
            if error is not None:
                raise error

    async def _refused(self, hook: Hook, attributes: Attributes, shown: Shown) -> ApiError | None:
        """Errors are gathered: all webhooks are asked to the end, and the first refusal counts."""
        try:
            await self._caller.ask(hook, attributes, shown)
        except ApiError as error:
            return error
        return None
