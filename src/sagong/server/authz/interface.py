"""The seam between a request and those who decide whether it is allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from sagong.api.types import User


class Attributes(NamedTuple):  # made for every request: a third of a frozen dataclass's cost
    """What is asked, in RBAC's words. Of non-resource requests only ``path``, ``verb`` count."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    is_resource: bool = True
    # Of list, watch and deletecollection: what narrows them (as sent, "" for none).
    field_selector: str = ""


class Effect(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Decision:
    effect: Effect
    reason: str = ""


NO_OPINION = Decision(Effect.NO_OPINION)


class Authorizer(Protocol):
    """One authorisation mode. The first that allows or denies decides; nobody's opinion is a no."""

    async def authorize(self, attributes: Attributes) -> Decision: ...


class RuleResolver(Protocol):
    """An authorizer that can also list what a user may do (SelfSubjectRulesReview, escalation)."""

    def rules_for(self, user: User, namespace: str) -> Sequence[dict[str, list[str]]]:
        """PolicyRules that apply to the user in a namespace ("" for cluster scope)."""
        ...
