"""Webhook configurations, compiled once for each change of them, found by what a write is about."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagong.api.selectors import Selector, selector_from_object
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes, Lister
from sagong.server.remote.locating import Target, target_of

if TYPE_CHECKING:
    from sagong.server.admission.policies.match_conditions import MatchConditions

MUTATING = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
VALIDATING = "validatingwebhookconfigurations.admissionregistration.k8s.io"
# Who watches the watchmen: these are subject to no webhook, or one could not be got rid of.
EXEMPT = frozenset(
    f"{plural}.admissionregistration.k8s.io"
    for plural in (
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)


@dataclass(frozen=True, slots=True)
class Rule:
    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]  # plural and subresource, each may be "*"
    scope: str
    # Of policies: names of objects; none means any.
    object_names: frozenset[str] = frozenset()

    def names(self, group: str, plural: str, subresource: str) -> bool:
        """Does the rule speak of this resource, in whatever version?"""
        return ("*" in self.groups or group in self.groups) and any(
            name in ("*", plural) and sub in ("*", subresource) for name, sub in self.resources
        )

    def has_version(self, version: str) -> bool:
        return "*" in self.versions or version in self.versions

    def has_operation(self, operation: str) -> bool:
        return "*" in self.operations or operation in self.operations


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """One webhook of one configuration."""

    uid: str
    name: str
    configuration: str
    rules: tuple[Rule, ...]
    target: Target
    namespace_selector: Selector
    object_selector: Selector
    fails_open: bool
    is_exact: bool
    timeout_seconds: float
    has_side_effects: bool
    review_versions: tuple[str, ...]
    is_reinvoked: bool
    conditions: "MatchConditions | None"


def hooks_of(configuration: Obj) -> list[Hook]:
    """The webhooks of a configuration, in order."""
    name, counts, found = configuration["metadata"]["name"], dict[str, int](), []
    for webhook in configuration.get("webhooks") or ():
        count = counts[webhook["name"]] = counts.get(webhook["name"], -1) + 1
        found.append(_hook(webhook, name, f"{name}/{webhook['name']}/{count}"))
    return found


def _hook(webhook: Obj, configuration: str, uid: str) -> Hook:
    return Hook(
        uid=uid,
        name=webhook["name"],
        configuration=configuration,
        rules=tuple(rule_of(rule) for rule in webhook.get("rules") or ()),
        target=target_of(webhook["clientConfig"]),
        namespace_selector=selector_from_object(webhook.get("namespaceSelector") or {}),
        object_selector=selector_from_object(webhook.get("objectSelector") or {}),
        fails_open=webhook.get("failurePolicy") == "Ignore",
        is_exact=webhook.get("matchPolicy") == "Exact",
        timeout_seconds=float(webhook.get("timeoutSeconds") or 10),
        has_side_effects=webhook.get("sideEffects") not in ("None", "NoneOnDryRun"),
        review_versions=tuple(webhook.get("admissionReviewVersions") or ()),
        is_reinvoked=webhook.get("reinvocationPolicy") == "IfNeeded",
        conditions=_conditions(webhook.get("matchConditions")),
    )


def _conditions(found: Sequence[Obj] | None) -> "MatchConditions | None":
    if not found:
        return None
    from sagong.server.admission.policies.match_conditions import compile_conditions  # slow

    return compile_conditions(found)


def rule_of(rule: Obj) -> Rule:
    resources = []
    for text in rule.get("resources") or ():
        plural, _, subresource = text.partition("/")
        resources.append((plural, subresource))
    return Rule(
        frozenset(rule.get("operations") or ()),
        frozenset(rule.get("apiGroups") or ()),
        frozenset(rule.get("apiVersions") or ()),
        tuple(resources),
        rule.get("scope") or "*",
        frozenset(rule.get("resourceNames") or ()),
    )


class Hooks:
    """The webhooks of one sort. Asking costs two look-ups while configurations stay the same."""

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._version = -1
        self._hooks: list[Hook] = []
        self._by_configuration: dict[tuple[str, str], list[Hook]] = {}
        self._concerned: dict[tuple[str, str, str], tuple[Hook, ...]] = {}

    def concerned(
        self, attributes: Attributes, equivalents: Callable[[Resource, str], Sequence[Resource]]
    ) -> tuple[Hook, ...]:
        """Those whose rules name the write's operation and resource, in the order of calling."""
        version = attributes.lister.version(self._resource)
        if version != self._version:
            self._load(attributes.lister, version)
        if not self._hooks:
            return ()
        key = (attributes.operation.value, attributes.asked.name, attributes.subresource)
        found = self._concerned.get(key)
        if found is None:
            found = self._concerned[key] = self._find(attributes, equivalents)
        return found

    def _find(
        self, attributes: Attributes, equivalents: Callable[[Resource, str], Sequence[Resource]]
    ) -> tuple[Hook, ...]:
        if attributes.resource.name in EXEMPT:
            return ()
        operation, subresource = attributes.operation.value, attributes.subresource
        resources = {
            (r.group, r.plural)
            for r in (attributes.asked, *equivalents(attributes.resource, subresource))
        }
        return tuple(
            hook
            for hook in self._hooks
            if any(
                rule.has_operation(operation)
                and any(rule.names(group, plural, subresource) for group, plural in resources)
                for rule in hook.rules
            )
        )

    def _load(self, lister: Lister, version: int) -> None:
        """Configurations by name; those that have not changed keep what was compiled of them."""
        known, self._by_configuration = self._by_configuration, {}
        self._hooks.clear()
        self._concerned.clear()
        found = [item.obj for item in lister.list(self._resource)]
        for obj in sorted(found, key=lambda obj: str(obj["metadata"]["name"])):
            key = (obj["metadata"]["uid"], obj["metadata"]["resourceVersion"])
            hooks = known.get(key)
            if hooks is None:
                hooks = hooks_of(obj)
            self._by_configuration[key] = hooks
            self._hooks += hooks
        self._version = version
