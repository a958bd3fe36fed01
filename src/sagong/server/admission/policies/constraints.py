"""Which writes a policy or a binding concerns: ``matchConstraints``, ``matchResources``. Pure.

As webhooks' rules and selectors, and besides: rules that exclude, names of objects; a binding
without rules narrows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api.selectors import Selector, selector_from_object
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes
from sagong.server.admission.webhooks.hooks import Rule, rule_of
from sagong.server.admission.webhooks.matching import rule_matches, wanted_as

_ANYTHING = Rule(frozenset("*"), frozenset("*"), frozenset("*"), (("*", "*"),), "*")


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """Compiled once for each policy and binding."""

    rules: tuple[Rule, ...]
    excluded: tuple[Rule, ...]
    namespace_selector: Selector
    object_selector: Selector
    is_exact: bool
    is_everything: bool

    def wanted(self, attributes: Attributes, equivalents: Sequence[Resource]) -> Resource | None:
        """The resource in the version in which the write is to be seen; None: not concerned."""
        if self.is_everything:
            return attributes.asked
        versions = (attributes.asked,) if self.is_exact else (attributes.asked, *equivalents)
        for rule in self.excluded:
            if any(rule_matches(rule, attributes, version) for version in versions):
                return None
        return wanted_as(self, attributes, equivalents)

    def names(self, resources: Sequence[tuple[str, str]], operation: str, subresource: str) -> bool:
        """Might a write of one of these (groups and plurals) be concerned?"""
        return any(
            rule.has_operation(operation)
            and any(rule.names(group, plural, subresource) for group, plural in resources)
            for rule in self.rules
        )


def constraints_of(match: Obj | None) -> Constraints:
    """From ``matchConstraints`` or ``matchResources``; None matches everything."""
    given = match or {}
    rules = tuple(rule_of(rule) for rule in given.get("resourceRules") or ())
    return Constraints(
        rules=rules or (_ANYTHING,),
        excluded=tuple(rule_of(rule) for rule in given.get("excludeResourceRules") or ()),
        namespace_selector=selector_from_object(given.get("namespaceSelector") or {}),
        object_selector=selector_from_object(given.get("objectSelector") or {}),
        is_exact=given.get("matchPolicy") == "Exact",
        is_everything=match is None,
    )
