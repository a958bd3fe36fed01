"""What another program allows: SubjectAccessReview.

Source of semantics: apiserver's ``plugin/pkg/authorizer/webhook``.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from sagong.api.types import Obj
from sagong.core.clock import Clock
from sagong.server.authz.interface import NO_OPINION, Attributes, Decision, Effect
from sagong.server.reviewing.reviewer import Memory, Reviewer, ReviewFailed

if TYPE_CHECKING:
    from sagong.server.expressions import Expression  # CEL is large

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """One authorizer of type Webhook."""

    name: str
    kubeconfig: Path
    timeout_seconds: float
    denies_on_failure: bool
    allowed_seconds: float = 300.0
    refused_seconds: float = 30.0
    conditions: Sequence[str] = ()  # CEL over ``request``, the review's spec


class WebhookAuthorizer:
    """One mode of authorisation; asked only for what its match conditions hold for."""

    def __init__(
        self,
        settings: WebhookSettings,
        reviewer: Reviewer,
        conditions: "Sequence[Expression]",
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._reviewer = reviewer
        self._conditions = tuple(conditions)
        self._memory: Memory[Decision] = Memory(clock)

    async def authorize(self, attributes: Attributes) -> Decision:
        spec = spec_of(attributes)
        question = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
        known = self._memory.recall(question)
        if known is not None:
            return known
        try:
            if not self._is_concerned(spec):
                return NO_OPINION
            decision = await self._asked(spec)
        except (ReviewFailed, ValueError) as error:
            log.warning("authorizer %s failed: %s", self._settings.name, error)
            effect = Effect.DENY if self._settings.denies_on_failure else Effect.NO_OPINION
            return Decision(effect, f"webhook {self._settings.name} failed")
        allowed = decision.effect is Effect.ALLOW
        seconds = self._settings.allowed_seconds if allowed else self._settings.refused_seconds
        self._memory.keep(question, decision, seconds)
        return decision

    def _is_concerned(self, spec: Obj) -> bool:
        """A condition that is false settles it; one that fails does so only if none is false."""
        failure: ValueError | None = None
        for condition in self._conditions:
            try:
                if condition.evaluate({"request": spec}) is not True:
                    return False
            except ValueError as error:
                failure = error
        if failure is not None:
            raise failure
        return True

    async def _asked(self, spec: Obj) -> Decision:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": spec,
        }
        status = (await self._reviewer.review(review))["status"]
        reason = str(status.get("reason") or "")
        if status.get("allowed") is True and status.get("denied") is True:
            raise ReviewFailed(
                "webhook subject access review returned both allow and deny response"
            )
        if status.get("denied") is True:
            return Decision(Effect.DENY, reason)
        if status.get("allowed") is True:
            return Decision(Effect.ALLOW, reason)
        return Decision(Effect.NO_OPINION, reason)


def spec_of(asked: Attributes) -> Obj:
    """The question as a review's spec; without what is empty."""
    user = asked.user
    spec: Obj = {"user": user.name, "uid": user.uid, "groups": list(user.groups)}
    spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if not asked.is_resource:
        spec["nonResourceAttributes"] = {"path": asked.path, "verb": asked.verb}
        return {name: value for name, value in spec.items() if value}
    resource: Obj = {
        "namespace": asked.namespace,
        "verb": asked.verb,
        "group": asked.group,
        "version": asked.version,
        "resource": asked.resource,
        "subresource": asked.subresource,
        "name": asked.name,
    }
    if requirements := _requirements(asked.field_selector):
        resource["fieldSelector"] = {"requirements": requirements}
    spec["resourceAttributes"] = {name: value for name, value in resource.items() if value}
    return {name: value for name, value in spec.items() if value}


def _requirements(field_selector: str) -> list[Obj]:
    found = []
    for term in filter(None, field_selector.split(",")):
        negated = "!=" in term
        key, _, value = term.partition("!=" if negated else "=")
        operator = "NotIn" if negated else "In"
        found.append({"key": key, "operator": operator, "values": [value.lstrip("=")]})
    return found
