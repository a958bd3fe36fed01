"""The objects that a binding gives to its policy as ``params``."""

from collections.abc import Sequence

from sagong.api.meta import deep_copy, labels_of
from sagong.api.selectors import selector_from_object
from sagong.api.types import Obj, Resource
from sagong.server.admission.interface import Attributes, Lister
from sagong.server.admission.policies.compiled import Binding, Policy
from sagong.server.admission.policies.index import Around


class Misconfigured(Exception):
    """The policy's or binding's parameters cannot be had; ``of_policy`` tells whose fault it is."""

    def __init__(self, why: str, *, of_policy: bool = False) -> None:
        what = "policy" if of_policy else "binding"
        super().__init__(f"failed to configure {what}: {why}")
        self.of_policy = of_policy


def params_of(
    policy: Policy, binding: Binding, attributes: Attributes, around: Around
) -> Sequence[Obj | None]:
    """One evaluation for each; None: without parameters. Raises Misconfigured."""
    if policy.param_kind is None:
        return (None,)
    api_version, kind = policy.param_kind
    resource = around.resources.of_kind(api_version, kind)
    if resource is None:
        why = f"failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"
        raise Misconfigured(why, of_policy=True)
    reference = binding.param_ref
    if reference is None:
        return (None,)
    found = _referenced(reference, resource, attributes)
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured(
            "no params found for policy binding with `Deny` parameterNotFoundAction"
        )
    served = around.kinds.of(resource)
    if not served.is_converted:
        return found
    return [served.from_storage(deep_copy(obj)) for obj in found]


def _referenced(reference: Obj, resource: Resource, attributes: Attributes) -> Sequence[Obj]:
    namespace, name = _namespace(reference, resource, attributes), reference.get("name")
    lister: Lister = attributes.lister
    if name:
        item = lister.get(resource.name, namespace, name)
        return () if item is None else (item.obj,)
    if reference.get("selector") is None:
        raise Misconfigured("one of name or selector must be provided")
    selector = selector_from_object(reference["selector"])
    held = lister.list(resource.name, namespace if resource.namespaced else None)
    return [item.obj for item in held if selector.matches(labels_of(item.obj))]


def _namespace(reference: Obj, resource: Resource, attributes: Attributes) -> str:
    given: str = reference.get("namespace") or ""
    if not resource.namespaced:
        if given:
            message = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
            raise Misconfigured(message)
        return ""
    namespace = given or attributes.namespace
    if not namespace:
        raise Misconfigured(
            "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        )
    return namespace
