"""Say what became of GatewayClasses, Gateways and routes that the nodes' proxies serve.

Reads: GatewayClass, Gateway, HTTPRoute, GRPCRoute, ReferenceGrant, Namespace, Node, Service.
Writes: their status.  Invariant: what another controller said of a route's other parents is kept.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from sagong.api import gateway as api
from sagong.api.errors import AlreadyExists, ApiError
from sagong.api.meta import deep_copy, is_deleting, key_of, name_of, namespace_of
from sagong.api.types import Key, Obj
from sagong.client.client import Client
from sagong.controllers.core.load_balancer import addresses_of_nodes, node_addresses
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

log = logging.getLogger(__name__)

Truth = tuple[str, str, str]  # type, status, reason


def _waking(resource: str, woken: str) -> Watch:
    def wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
        both = old is not None and new is not None and resource == "nodes"
        if both and node_addresses(old or {}) == node_addresses(new or {}):
            return []
        return [key_of(obj) for obj in cache.list(woken)]

    return Watch(resource, wakes)


_KINDS = [{"group": api.GROUP, "kind": kind} for kind in api.ROUTE_KINDS]
_ROUTES = (api.ROUTES, api.GRPC_ROUTES)
_COMPONENT = "gateway-controller"  # all of them act under one account
CLASS_CONTROLLER = Controller(name="gateway-class", reconciles=api.CLASSES, component=_COMPONENT)
GATEWAY_CONTROLLER = Controller(
    name="gateway",
    reconciles=api.GATEWAYS,
    watches=tuple(
        _waking(resource, api.GATEWAYS)
        for resource in (api.CLASSES, *_ROUTES, "namespaces", "nodes")
    ),
)


def _route_controller(name: str, routes: str) -> Controller:
    return Controller(
        name=name,
        component=_COMPONENT,
        reconciles=routes,
        watches=tuple(
            _waking(resource, routes)
            for resource in (api.CLASSES, api.GATEWAYS, api.GRANTS, "namespaces", "services")
        ),
    )


ROUTE_CONTROLLER = _route_controller("gateway-route", api.ROUTES)
GRPC_ROUTE_CONTROLLER = _route_controller("gateway-grpc-route", api.GRPC_ROUTES)


def conditions(
    old: Sequence[Obj], truths: Iterable[Truth], generation: int, now: float
) -> list[Obj]:
    """Conditions in order; one that says the same as before keeps its time."""
    known = {condition["type"]: condition for condition in old}
    made = []
    for type_, status, reason in truths:
        before = known.get(type_, {})
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        made.append(
            {
                "type": type_,
                "status": status,
                "reason": reason,
                "message": "",
                "observedGeneration": generation,
                "lastTransitionTime": since or format_time(now),
            }
        )
    return made


def plan_gateway(gateway: Obj, cache: Cache, now: float) -> Obj:
    """The status of a gateway of ours."""
    generation = gateway["metadata"].get("generation", 1)
    old = gateway.get("status") or {}
    listeners = [
        _listener(gateway, listener, old, cache, now)
        for listener in gateway["spec"].get("listeners") or ()
    ]
    addresses = addresses_of_nodes(cache.list("nodes"))
    programmed = "True" if addresses and any(_is_served(li) for li in listeners) else "False"
    reason = "Programmed" if programmed == "True" else "AddressNotAssigned"
    truths = (("Accepted", "True", "Accepted"), ("Programmed", programmed, reason))
    return {
        "addresses": [{"type": "IPAddress", "value": ip} for ip in addresses],
        "conditions": conditions(old.get("conditions") or (), truths, generation, now),
        "listeners": listeners,
    }


def _is_served(listener: Obj) -> bool:
    return any(c["type"] == "Programmed" and c["status"] == "True" for c in listener["conditions"])


def _listener(gateway: Obj, listener: Obj, old: Obj, cache: Cache, now: float) -> Obj:
    generation = gateway["metadata"].get("generation", 1)
    said: list[Obj] = old.get("listeners") or []
    before = next((li for li in said if li["name"] == listener["name"]), Obj())
    supported = listener.get("protocol") in api.PROTOCOLS
    accepted = "Accepted" if supported else "UnsupportedProtocol"
    truths = (
        ("Accepted", str(supported), accepted),
        ("Programmed", str(supported), "Programmed" if supported else "Invalid"),
        ("ResolvedRefs", "True", "ResolvedRefs"),
        ("Conflicted", "False", "NoConflicts"),
    )
    namespaces = api.namespace_labels(cache.list("namespaces"))
    return {
        "name": listener["name"],
        "supportedKinds": _KINDS if supported else [],
        "attachedRoutes": sum(
            _is_attached(route, gateway, listener["name"], namespaces)
            for resource in _ROUTES
            for route in cache.list(resource)
        ),
        "conditions": conditions(before.get("conditions") or (), truths, generation, now),
    }


def _is_attached(
    route: Obj, gateway: Obj, listener: str, namespaces: Mapping[str, Mapping[str, str]]
) -> bool:
    own = (namespace_of(gateway), name_of(gateway))
    return any(
        found["name"] == listener
        for parent in route["spec"].get("parentRefs") or ()
        if api.parent_key(route, parent) == own
        for found, _ in api.attach(route, parent, gateway, namespaces).listeners
    )


def plan_route(route: Obj, cache: Cache, now: float) -> Obj:
    """The status of a route: its parents of ours, and what others said of theirs."""
    old = (route.get("status") or {}).get("parents") or []
    classes = tuple(cache.list(api.CLASSES))
    namespaces = api.namespace_labels(cache.list("namespaces"))
    generation = route["metadata"].get("generation", 1)
    resolved = _resolved(route, cache)
    made = []
    for parent in route["spec"].get("parentRefs") or ():
        key = api.parent_key(route, parent)
        gateway = cache.get(api.GATEWAYS, *key) if key else None
        if gateway is None or not api.is_ours(gateway, classes):
            continue
        reason = api.attach(route, parent, gateway, namespaces).reason
        before = next((p for p in old if p["parentRef"] == parent and _is_own(p)), Obj())
        truths = (
            ("Accepted", str(reason == "Accepted"), reason),
            ("ResolvedRefs", str(resolved == "ResolvedRefs"), resolved),
        )
        said = conditions(before.get("conditions") or (), truths, generation, now)
        made.append({"parentRef": parent, "controllerName": api.CONTROLLER, "conditions": said})
    return {"parents": [*(p for p in old if not _is_own(p)), *made]}


def _is_own(parent: Obj) -> bool:
    return bool(parent.get("controllerName") == api.CONTROLLER)


def _resolved(route: Obj, cache: Cache) -> str:
    """The reason of ResolvedRefs."""
    grants = tuple(cache.list(api.GRANTS))
    for rule in route["spec"].get("rules") or ():
        for reference in rule.get("backendRefs") or ():
            namespace = reference.get("namespace") or namespace_of(route)
            kind = reference.get("kind", "Service")
            to = (kind, namespace, reference["name"])
            if kind != "Service" or reference.get("group", "") != "":
                return "InvalidKind"
            own = namespace_of(route)
            if not api.is_granted(grants, kind=api.kind_of(route), namespace=own, to=to):
                return "RefNotPermitted"
            if cache.get("services", namespace, reference["name"]) is None:
                return "BackendNotFound"
    return "ResolvedRefs"


async def reconcile_class(key: Key, env: Env) -> Result:
    found = env.cache.get(api.CLASSES, "", key.name)
    if found is None or is_deleting(found) or not api.is_our_class(found):
        return DONE
    old = (found.get("status") or {}).get("conditions") or ()
    truths = (("Accepted", "True", "Accepted"),)
    said = conditions(old, truths, found["metadata"].get("generation", 1), env.clock.now())
    return await _write(api.CLASSES, found, {"conditions": said}, env)


async def reconcile_gateway(key: Key, env: Env) -> Result:
    found = env.cache.get(api.GATEWAYS, key.namespace, key.name)
    if found is None or is_deleting(found):
        return DONE
    if not api.is_ours(found, env.cache.list(api.CLASSES)):
        return DONE
    return await _write(api.GATEWAYS, found, plan_gateway(found, env.cache, env.clock.now()), env)


async def reconcile_route(key: Key, env: Env) -> Result:
    return await _reconcile_route(api.ROUTES, key, env)


async def reconcile_grpc_route(key: Key, env: Env) -> Result:
    return await _reconcile_route(api.GRPC_ROUTES, key, env)


async def _reconcile_route(resource: str, key: Key, env: Env) -> Result:
    found = env.cache.get(resource, key.namespace, key.name)
    if found is None or is_deleting(found):
        return DONE
    status = plan_route(found, env.cache, env.clock.now())
    if not status["parents"] and not (found.get("status") or {}).get("parents"):
        return DONE
    return await _write(resource, found, status, env)


async def _write(resource: str, found: Obj, status: Obj, env: Env) -> Result:
    if found.get("status") != status:
        await env.client.update(
            resource, deep_copy(found) | {"status": status}, subresource="status"
        )
    return DONE


async def ensure_class(client: Client) -> None:
    """The class of the nodes' own proxies. Failures are logged: people may create it too."""
    made = {
        "apiVersion": f"{api.GROUP}/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "sagong"},
        "spec": {"controllerName": api.CONTROLLER},
    }
    try:
        await client.create(api.CLASSES, made)
    except AlreadyExists:
        return
    except ApiError as error:
        log.warning("the GatewayClass of our own proxies: %s", error.message)


# Run while the definitions of the Gateway API are there (``cmd/optional_controllers.py``).
MEMBERS: tuple[tuple[Controller, Reconcile], ...] = (
    (CLASS_CONTROLLER, reconcile_class),
    (GATEWAY_CONTROLLER, reconcile_gateway),
    (ROUTE_CONTROLLER, reconcile_route),
    (GRPC_ROUTE_CONTROLLER, reconcile_grpc_route),
)
NEEDED = (api.CLASSES, api.GATEWAYS, *_ROUTES, api.GRANTS)
