"""Whether a webhook is to be called for a write, and in which version it wants it. Pure.

Source of semantics: apiserver's ``pkg/admission/plugin/webhook`` (generic, predicates/rules,
predicates/namespace, predicates/object).
"""

from collections.abc import Sequence
from typing import Protocol

from sagong.api.errors import not_found
from sagong.api.meta import labels_of
from sagong.api.selectors import Selector
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes, Operation
from sagong.server.admission.webhooks.hooks import Rule

_NAMESPACES = "namespaces"


class Selecting(Protocol):
    """What says which writes it concerns: a webhook, a policy, a binding."""

    @property
    def rules(self) -> Sequence[Rule]: ...
    @property
    def is_exact(self) -> bool: ...
    @property
    def namespace_selector(self) -> Selector: ...
    @property
    def object_selector(self) -> Selector: ...


def namespace_of(attributes: Attributes) -> str:
    """The namespace of a write; of a namespace itself, its name."""
    if attributes.resource.name == _NAMESPACES:
        return attributes.name or str(((attributes.obj or {}).get("metadata") or {}).get("name"))
    return attributes.namespace


def wanted_as(
    hook: Selecting, attributes: Attributes, equivalents: Sequence[Resource]
) -> Resource | None:
    """The resource in the version in which the webhook is to see the write; None: not at all.

    Raises NotFound if the namespace, whose labels count, is not there.
    """
    matches_namespace: bool | Exception
    try:
        matches_namespace = _matches_namespace(hook, attributes)
    except LookupError:
        matches_namespace = not_found("", _NAMESPACES, attributes.namespace)
    if matches_namespace is False or not _matches_object(hook, attributes):
        return None
    found = _by_rules(hook, attributes, equivalents)
    if found is not None and isinstance(matches_namespace, Exception):
        raise matches_namespace
    return found


def _by_rules(
    hook: Selecting, attributes: Attributes, equivalents: Sequence[Resource]
) -> Resource | None:
    for rule in hook.rules:
        if rule_matches(rule, attributes, attributes.asked):
            return attributes.asked
    if hook.is_exact:
        return None
    for rule in hook.rules:
        for resource in equivalents:
            if resource != attributes.asked and rule_matches(rule, attributes, resource):
                return resource
    return None


def rule_matches(rule: Rule, attributes: Attributes, resource: Resource) -> bool:
    return (
        rule.has_operation(attributes.operation.value)
        and (not rule.object_names or attributes.name in rule.object_names)
        and rule.has_version(resource.version)
        and rule.names(resource.group, resource.plural, attributes.subresource)
        and _in_scope(rule.scope, attributes)
    )


def _in_scope(scope: str, attributes: Attributes) -> bool:
    if scope == "*":
        return True
    is_cluster = attributes.resource.name == _NAMESPACES or not attributes.namespace
    return is_cluster == (scope == "Cluster")


def _matches_namespace(hook: Selecting, attributes: Attributes) -> bool:
    """Raises LookupError for a namespace that is not there."""
    is_namespace = attributes.resource.name == _NAMESPACES
    if not attributes.namespace and not is_namespace:
        return True  # objects outside of namespaces are never exempt
    if hook.namespace_selector.is_everything:
        return True
    writes = attributes.operation in (Operation.CREATE, Operation.UPDATE)
    if is_namespace and not attributes.subresource and writes and attributes.obj is not None:
        return hook.namespace_selector.matches(labels_of(attributes.obj))
    namespace = attributes.lister.get(_NAMESPACES, "", namespace_of(attributes))
    if namespace is None:
        raise LookupError
    return hook.namespace_selector.matches(labels_of(namespace.obj))


def _matches_object(hook: Selecting, attributes: Attributes) -> bool:
    if hook.object_selector.is_everything:
        return True
    return any(
        hook.object_selector.matches(labels_of(obj))
        for obj in (attributes.obj, attributes.old)
        if obj is not None and _has_metadata(obj)
    )


def _has_metadata(obj: Obj) -> bool:
    """Options of connections have none, so no selector matches them."""
    return "metadata" in obj
