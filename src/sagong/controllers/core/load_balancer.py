"""Give services of type LoadBalancer an address of a pool, or those of the cluster's own nodes.

Reads: Service, Node, EndpointSlice.  Writes: Service.status.loadBalancer.
Invariant: an address of a pool belongs to one service; without pools an address and port belong to
the oldest service that asks for the port. A service with a loadBalancerClass is somebody else's.

Upstream leaves this to cloud providers. Here every node answers on the service's ports: the
service proxy takes what is sent to these addresses, as to any other of the service's. An address of
a pool is answered for by one node at a time (``network/routes/announcing.py``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.address_pools import AddressPool, choose_address
from sagong.api.address_ranges import canonical_address
from sagong.api.meta import (
    condition,
    deep_copy,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
)
from sagong.api.types import Key, Obj
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
EXCLUDED_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"


def is_ours(service: Obj) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def _all(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    return [key_of(s) for s in cache.list("services") if is_ours(s)]


def _node_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    if old is not None and new is not None and node_addresses(old) == node_addresses(new):
        return []
    return _all(old, new, cache)


def _service_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """Ports and addresses that one service gives back are another's."""
    held = [(_ports(s), _given(s)) if s is not None and is_ours(s) else None for s in (old, new)]
    return _all(old, new, cache) if held[0] != held[1] else []


def _slice_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    obj = new or old
    name = labels_of(obj).get(SERVICE_LABEL) if obj else None
    return [Key(namespace_of(obj), name)] if obj and name else []


CONTROLLER = Controller(
    name="service",
    reconciles="services",
    watches=(
        Watch("services", _service_wakes),
        Watch("nodes", _node_wakes),
        Watch(
            SLICES,
            _slice_wakes,
            indexes={"service": lambda o: [f"{namespace_of(o)}/{labels_of(o).get(SERVICE_LABEL)}"]},
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    service: Obj
    nodes: Sequence[Obj]
    rivals: Sequence[Obj]  # other services that balance over the nodes
    serving_nodes: frozenset[str]  # that have a ready pod of the service


@dataclass(frozen=True, slots=True)
class Plan:
    ingress: Sequence[Obj]
    problem: str = ""


def observe(key: Key, cache: Cache) -> Seen | None:
    service = cache.get("services", key.namespace, key.name)
    if service is None or is_deleting(service):
        return None
    if not is_ours(service):
        return Seen(service, (), (), frozenset())
    serving = {
        endpoint.get("nodeName") or ""
        for s in cache.with_index(SLICES, "service", str(key))
        for endpoint in s.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
    }
    rivals = [s for s in cache.list("services") if is_ours(s) and key_of(s) != key]
    return Seen(service, list(cache.list("nodes")), rivals, frozenset(serving))


def plan(seen: Seen, pools: Sequence[AddressPool] = ()) -> Plan:
    if not is_ours(seen.service):
        return Plan(())
    if pools:
        return _plan_pooled(seen, pools)
    for rival in seen.rivals:
        shared = sorted(_ports(rival) & _ports(seen.service))
        if shared and _age(rival) < _age(seen.service):
            number, protocol = shared[0]
            return Plan((), f"port {number}/{protocol} is taken by service {key_of(rival)}")
    spec = seen.service["spec"]
    local = spec.get("externalTrafficPolicy") == "Local"
    families = spec.get("ipFamilies") or ["IPv4"]
    found = {
        address
        for node in seen.nodes
        if not local or name_of(node) in seen.serving_nodes
        for address in node_addresses(node)
        if ("IPv6" if ":" in address else "IPv4") in families
        and spec.get("loadBalancerIP") in (None, "", address)
    }
    return Plan([{"ip": address, "ipMode": "VIP"} for address in sorted(found)])


def _plan_pooled(seen: Seen, pools: Sequence[AddressPool]) -> Plan:
    if "IPv4" not in (seen.service["spec"].get("ipFamilies") or ["IPv4"]):
        return Plan((), "the pools have addresses of IPv4 alone")
    taken = {ip for rival in seen.rivals for ip in _given(rival)}
    asked = seen.service["spec"].get("loadBalancerIP") or ""
    current = next(iter(_given(seen.service)), "")
    ip = choose_address(pools, taken=taken, asked=asked, current=current)
    if not ip:
        what = f"address {asked}" if asked else "address"
        return Plan((), f"no {what} is free in the pools")
    return Plan([{"ip": ip, "ipMode": "VIP"}])


def _given(service: Obj) -> list[str]:
    balancer = (service.get("status") or {}).get("loadBalancer") or {}
    return [entry["ip"] for entry in balancer.get("ingress") or () if entry.get("ip")]


def _age(service: Obj) -> tuple[str, str]:
    return service["metadata"]["creationTimestamp"], str(key_of(service))


def _ports(service: Obj) -> set[tuple[int, str]]:
    ports = service["spec"].get("ports") or ()
    return {(p["port"], p.get("protocol") or "TCP") for p in ports}


def node_addresses(node: Obj) -> list[str]:
    """Where a node is reached from outside, else from inside; nothing while it should not be."""
    ready = condition(node, "Ready")
    if EXCLUDED_LABEL in labels_of(node) or ready is None or ready["status"] != "True":
        return []
    addresses = (node.get("status") or {}).get("addresses") or ()
    given = [a for a in addresses if canonical_address(a["address"]) is not None]
    outside = [a["address"] for a in given if a["type"] == "ExternalIP"]
    return outside or [a["address"] for a in given if a["type"] == "InternalIP"]


def addresses_of_nodes(nodes: Iterable[Obj]) -> list[str]:
    """Where all nodes are reached: of IPv4, where they have such addresses."""
    every = sorted({ip for node in nodes for ip in node_addresses(node)})
    return [ip for ip in every if ":" not in ip] or every


def reconciler(pools: Sequence[AddressPool]) -> Reconcile:
    """Without pools services have the nodes' addresses."""

    async def reconcile(key: Key, env: Env) -> Result:
        return await _reconcile(key, env, pools)

    return reconcile


async def _reconcile(key: Key, env: Env, pools: Sequence[AddressPool]) -> Result:
    seen = observe(key, env.cache)
    if seen is None or (seen.service["spec"].get("loadBalancerClass")):
        return DONE
    steps = plan(seen, pools)
    if steps.problem:
        message = f"Error syncing load balancer: {steps.problem}"
        env.events.emit(seen.service, "Warning", "SyncLoadBalancerFailed", message)
    status = seen.service.get("status") or {}
    current = (status.get("loadBalancer") or {}).get("ingress") or []
    if [(i.get("ip"), i.get("hostname")) for i in current] == [
        (i["ip"], None) for i in steps.ingress
    ]:
        return DONE
    changed = deep_copy(seen.service)
    balancer = {"ingress": list(steps.ingress)} if steps.ingress else {}
    changed["status"] = {**status, "loadBalancer": balancer}
    await env.client.update("services", changed, subresource="status")
    if steps.ingress and not current:
        env.events.emit(seen.service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
    return DONE
