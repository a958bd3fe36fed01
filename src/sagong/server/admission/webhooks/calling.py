"""One question to one webhook, and what its failure means."""

from dataclasses import dataclass

from sagong.api.errors import BadRequest, InternalError
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.server.admission.interface import Attributes
from sagong.server.admission.plugin import refuse
from sagong.server.admission.policies.seen import Seen
from sagong.server.admission.webhooks.hooks import Hook
from sagong.server.admission.webhooks.matching import wanted_as
from sagong.server.admission.webhooks.metrics import WebhookMetrics
from sagong.server.admission.webhooks.reviews import (
    InvalidAnswer,
    Verdict,
    refusal,
    review,
    verdict,
    version_of,
)
from sagong.server.admission.webhooks.versions import Kinds, Shown, Versions
from sagong.server.authz.interface import Authorizer
from sagong.server.remote.posting import CallFailed, Poster

_UNAVAILABLE = 503  # what metrics count a call without an answer as


class Unanswered(Exception):
    """The webhook could not be asked, or said nothing that is an answer."""

    def __init__(self, name: str, why: str, code: int) -> None:
        super().__init__(f'failed calling webhook "{name}": {why}')
        self.code = code


@dataclass(frozen=True, slots=True)
class Means:
    """What calling webhooks takes."""

    kinds: Kinds
    poster: Poster
    clock: Clock
    ids: Ids
    authorizer: Authorizer  # whom match conditions may ask


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls webhooks of one sort: ``admit`` or ``validating``."""

    means: Means
    metrics: WebhookMetrics
    sort: str

    async def shown_to(
        self, hook: Hook, attributes: Attributes, versions: Versions
    ) -> Shown | None:
        """The write as the webhook sees it; None if it does not concern it. Raises ``errors``."""
        kinds = self.means.kinds
        equivalents = kinds.equivalents(attributes.resource, attributes.subresource)
        wanted = wanted_as(hook, attributes, equivalents)
        if wanted is None:
            return None
        shown = await versions.shown(wanted)
        if hook.conditions is not None and not await self._holds(hook, attributes, shown):
            self.metrics.excluded(hook.name, self.sort, attributes.operation.value)
            return None
        return shown

    async def _holds(self, hook: Hook, attributes: Attributes, shown: Shown) -> bool:
        """Do the match conditions? Raises Forbidden if nobody can tell and that counts."""
        assert hook.conditions is not None
        seen = Seen(attributes, shown.wanted, shown.obj, shown.old)
        policy = "Ignore" if hook.fails_open else "Fail"
        match = await hook.conditions.match(seen, self.means.authorizer, failure_policy=policy)
        if match.error:
            raise refuse(attributes, match.error)
        return match.matches

    async def ask(self, hook: Hook, attributes: Attributes, shown: Shown) -> Verdict | None:
        """What the webhook allows; None if it did not answer and its policy is to go on.

        Raises what it refuses with, InternalError if it did not answer.
        """
        operation = attributes.operation.value
        if attributes.dry_run and hook.has_side_effects:
            self.metrics.rejected(hook.name, self.sort, operation, "apiserver_internal_error", 0)
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        started = self.means.clock.monotonic()
        code, refused, failure = 200, False, ""
        try:
            said = await self._verdict(hook, attributes, shown)
            attributes.warnings += said.warnings
            for key, value in said.audit_annotations.items():
                attributes.annotations[f"{hook.name}/{key}"] = value
            if not said.allowed:
                error = refusal(hook.name, said.status)
                code, refused, failure = error.http_code, True, "no_error"
                raise error
            return said
        except Unanswered as error:
            code, refused = error.code, not hook.fails_open
            if hook.fails_open:
                self.metrics.failed_open(hook.name, self.sort)
                return None
            failure = "calling_webhook_error"
            raise internal(str(error)) from error
        finally:
            seconds = self.means.clock.monotonic() - started
            self.metrics.asked(hook.name, self.sort, operation, code, seconds, rejected=refused)
            if failure:
                self.metrics.rejected(hook.name, self.sort, operation, failure, code)

    async def _verdict(self, hook: Hook, attributes: Attributes, shown: Shown) -> Verdict:
        uid, mutating = self.means.ids.uid(), self.sort == "admit"
        try:
            version = version_of(hook.review_versions)
            question = review(
                attributes,
                shown.wanted,
                uid=uid,
                version=version,
                obj=shown.obj,
                old=shown.old,
            )
            answer = await self.means.poster.post(
                hook.target, question, seconds=hook.timeout_seconds
            )
        except CallFailed as error:
            why = f"failed to call webhook: {error}"
            raise Unanswered(hook.name, why, error.code or _UNAVAILABLE) from error
        except InvalidAnswer as error:
            why = f"could not create admission objects: {error}"
            raise Unanswered(hook.name, why, _UNAVAILABLE) from error
        try:
            return verdict(answer, uid=uid, version=version, mutating=mutating)
        except InvalidAnswer as error:
            why = f"received invalid webhook response: {error}"
            raise Unanswered(hook.name, why, _UNAVAILABLE) from error


def internal(why: str) -> InternalError:
    """As ``errors.NewInternalError``."""
    return InternalError(f"Internal error occurred: {why}", details={"causes": [{"message": why}]})
