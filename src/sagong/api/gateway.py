"""What Gateways and routes of the Gateway API mean to each other. Pure.

Source of semantics: the published Gateway API (``gateway.networking.k8s.io/v1``): a route attaches
to the listeners that its parent reference names, whose namespaces and hostnames allow it. The
nodes' proxies and the controllers that write status read it here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.meta import labels_of, name_of, namespace_of
from sagong.api.selectors import selector_from_object
from sagong.api.types import Obj, Resource

GROUP = "gateway.networking.k8s.io"
CONTROLLER = "sagong.io/gateway"
CLASSES = f"gatewayclasses.{GROUP}"
GATEWAYS = f"gateways.{GROUP}"
ROUTES = f"httproutes.{GROUP}"
GRPC_ROUTES = f"grpcroutes.{GROUP}"
GRANTS = f"referencegrants.{GROUP}"
PROTOCOLS = ("HTTP", "HTTPS")
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute")
# A route that asks for anything else is not accepted: served without it, it would do other than it
# says.
FILTERS = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A route at a gateway: the listeners that take it, its hostnames there, or why none does."""

    gateway: Obj
    listeners: Sequence[tuple[Obj, tuple[str, ...]]] = ()  # hostnames; ("",) is any
    reason: str = "Accepted"


def resources() -> tuple[Resource, ...]:
    """As the definitions that ``sagong gateway-api`` prints have them."""
    made = (
        ("v1", "gatewayclasses", "GatewayClass", False),
        ("v1", "gateways", "Gateway", True),
        ("v1", "httproutes", "HTTPRoute", True),
        ("v1", "grpcroutes", "GRPCRoute", True),
        ("v1beta1", "referencegrants", "ReferenceGrant", True),
    )
    return tuple(
        Resource(GROUP, version, plural, kind, namespaced, custom=True)
        for version, plural, kind, namespaced in made
    )


def is_ours(gateway: Obj, classes: Iterable[Obj]) -> bool:
    """By its class, whose controller is ours."""
    wanted = gateway["spec"].get("gatewayClassName")
    return any(name_of(c) == wanted and is_our_class(c) for c in classes)


def is_our_class(gateway_class: Obj) -> bool:
    return bool(gateway_class["spec"].get("controllerName") == CONTROLLER)


def parent_key(route: Obj, parent: Obj) -> tuple[str, str] | None:
    """Namespace and name of the gateway that a parent reference names; None: of another kind."""
    group, kind = parent.get("group", GROUP), parent.get("kind", "Gateway")
    if (group, kind) != (GROUP, "Gateway"):
        return None
    return parent.get("namespace") or namespace_of(route), parent["name"]


def attach(
    route: Obj, parent: Obj, gateway: Obj, namespaces: Mapping[str, Mapping[str, str]]
) -> Attachment:
    """Where a route is at one of its parents. ``namespaces`` are labels by name."""
    if not _is_supported(route):
        return Attachment(gateway, reason="UnsupportedValue")
    named = [
        listener
        for listener in gateway["spec"].get("listeners") or ()
        if parent.get("sectionName") in (None, "", listener["name"])
        and parent.get("port") in (None, listener["port"])
    ]
    if not named:
        return Attachment(gateway, reason="NoMatchingParent")
    allowed = [
        listener
        for listener in named
        if listener.get("protocol") in PROTOCOLS and _allows(listener, gateway, route, namespaces)
    ]
    if not allowed:
        return Attachment(gateway, reason="NotAllowedByListeners")
    found = [(li, shared_hostnames(li, route)) for li in allowed]
    taken = [(li, hostnames) for li, hostnames in found if hostnames]
    if not taken:
        return Attachment(gateway, reason="NoMatchingListenerHostname")
    return Attachment(gateway, taken)


def kind_of(route: Obj) -> str:
    return str(route.get("kind") or "HTTPRoute")


def _is_supported(route: Obj) -> bool:
    rules = route["spec"].get("rules") or ()
    if any(reference.get("filters") for r in rules for reference in r.get("backendRefs") or ()):
        return False
    return all(said["type"] in FILTERS for rule in rules for said in rule.get("filters") or ())


def _allows(
    listener: Obj, gateway: Obj, route: Obj, namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    allowed = listener.get("allowedRoutes") or {}
    kinds = allowed.get("kinds")
    if kinds and not any(kind.get("kind") == kind_of(route) for kind in kinds):
        return False
    from_ = allowed.get("namespaces") or {}
    match from_.get("from", "Same"):
        case "All":
            return True
        case "Selector":
            labels = namespaces.get(namespace_of(route), {})
            return selector_from_object(from_.get("selector")).matches(labels)
    return namespace_of(route) == namespace_of(gateway)


def shared_hostnames(listener: Obj, route: Obj) -> tuple[str, ...]:
    """The hostnames that a listener and a route have in common; ("",) is any, () none."""
    own, wanted = (listener.get("hostname") or "").lower(), route["spec"].get("hostnames") or ()
    if not wanted:
        return (own,)
    found = (_shared(own, hostname.lower()) for hostname in wanted)
    return tuple(dict.fromkeys(hostname for hostname in found if hostname is not None))


def _shared(one: str, other: str) -> str | None:
    if not one or one == other:
        return other
    if one.startswith("*") and other.endswith(one[1:]):
        return other
    if other.startswith("*") and one.endswith(other[1:]):
        return one
    return None


def is_granted(
    grants: Iterable[Obj], *, kind: str, namespace: str, to: tuple[str, str, str]
) -> bool:
    """Whether objects of a kind and namespace may refer to ``to`` (kind, namespace, name)."""
    to_kind, to_namespace, to_name = to
    if namespace == to_namespace:
        return True
    return any(
        namespace_of(grant) == to_namespace
        and any(
            f.get("group") == GROUP and f["kind"] == kind and f["namespace"] == namespace
            for f in grant["spec"].get("from") or ()
        )
        and any(
            t.get("group", "") == ""
            and t["kind"] == to_kind
            and t.get("name") in (None, "", to_name)
            for t in grant["spec"].get("to") or ()
        )
        for grant in grants
    )


def certificate_secrets(gateway: Obj) -> Iterable[tuple[str, str]]:
    """Namespace and name of the secrets that a gateway's listeners take certificates from."""
    for listener in gateway["spec"].get("listeners") or ():
        yield from listener_secrets(gateway, listener)


def listener_secrets(gateway: Obj, listener: Obj) -> Iterable[tuple[str, str]]:
    for reference in (listener.get("tls") or {}).get("certificateRefs") or ():
        if reference.get("kind", "Secret") == "Secret":
            yield reference.get("namespace") or namespace_of(gateway), reference["name"]


def namespace_labels(namespaces: Iterable[Obj]) -> Mapping[str, Mapping[str, str]]:
    return {name_of(n): labels_of(n) for n in namespaces}
