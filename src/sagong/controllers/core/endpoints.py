"""Keep the Endpoints object of each service equal to the pods that it selects.

Reads: Service, Pod, Node, Endpoints.  Writes: Endpoints (create, update, delete).
Invariant: Endpoints of services without a selector are the user's while the service is there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sagong.api.errors import NotFound
from sagong.api.meta import deep_copy, labels_of, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.discovery.backends import (
    HEADLESS_LABEL,
    Backend,
    Port,
    backends_of,
    families_of,
    is_headless,
    pods_of,
    selects,
    services_of_pod,
)
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

RESOURCE = "endpoints"
MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGED_BY = "endpoint-controller"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ADDRESSES_MAX = 1000  # the object's bound; the rest is cut and the annotation says so


def _wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """Ours, and whatever is gone; what users make must not be judged before its service is."""
    obj = new or old
    if obj is None or (new is not None and not _is_ours(new)):
        return []
    return [Key(namespace_of(obj), name_of(obj))]


def _is_ours(obj: Obj) -> bool:
    return labels_of(obj).get(MANAGED_BY_LABEL) == MANAGED_BY


CONTROLLER = Controller(
    name="endpoint",
    reconciles="services",
    watches=(Watch("pods", services_of_pod), Watch(RESOURCE, _wakes)),
    workers=5,
)


@dataclass(frozen=True, slots=True)
class Seen:
    service: Obj
    backends: Sequence[Backend]
    current: Obj | None


def observe(key: Key, cache: Cache) -> Seen | None:
    service = cache.get("services", key.namespace, key.name)
    if service is None or not selects(service):
        return None
    # Terminating pods have no place in this older API, unless everything is to be published; nor
    # have pods that lack every port of the service.
    publish_all = bool(service["spec"].get("publishNotReadyAddresses"))
    portless = not service["spec"].get("ports")
    backends = [
        b
        # This older API knows one family alone.
        for b in backends_of(service, pods_of(service, cache), {}, families_of(service)[0])
        if (publish_all or not b.terminating) and (b.ports or portless)
    ]
    return Seen(service, backends, cache.get(RESOURCE, key.namespace, key.name))


def plan(seen: Seen) -> Obj | None:
    """The object as it should be, or None if it already is."""
    wanted: Obj = deep_copy(seen.current) if seen.current else {"metadata": {}}
    metadata = wanted["metadata"]
    metadata["name"] = name_of(seen.service)
    metadata["namespace"] = namespace_of(seen.service)
    labels = dict(labels_of(seen.service)) | {MANAGED_BY_LABEL: MANAGED_BY}
    labels.pop(HEADLESS_LABEL, None)
    if is_headless(seen.service):
        labels[HEADLESS_LABEL] = ""
    metadata["labels"] = labels
    _mark_capacity(metadata, over=len(seen.backends) > ADDRESSES_MAX)
    wanted["apiVersion"], wanted["kind"] = "v1", "Endpoints"
    subsets = _subsets(seen.backends[:ADDRESSES_MAX])
    if subsets:
        wanted["subsets"] = subsets
    else:
        wanted.pop("subsets", None)
    return None if wanted == seen.current else wanted


def _mark_capacity(metadata: Obj, *, over: bool) -> None:
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(OVER_CAPACITY, None)
    if over:
        annotations[OVER_CAPACITY] = "truncated"
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)


def _subsets(backends: Sequence[Backend]) -> list[Obj]:
    """Addresses by their set of ports, ready and not ready apart."""
    groups: dict[tuple[Port, ...], tuple[list[Obj], list[Obj]]] = {}
    for backend in backends:
        ready, not_ready = groups.setdefault(backend.ports, ([], []))
        (ready if backend.ready else not_ready).append(_address(backend))
    subsets = []
    for ports, (ready, not_ready) in sorted(groups.items(), key=lambda g: _port_order(g[0])):
        subset: Obj = {}
        if ready:
            subset["addresses"] = ready
        if not_ready:
            subset["notReadyAddresses"] = not_ready
        if ports:
            subset["ports"] = [_port(p) for p in sorted(ports, key=lambda p: (p.name, p.number))]
        subsets.append(subset)
    return subsets


def _port_order(ports: tuple[Port, ...]) -> list[tuple[str, int, str]]:
    return [(p.name, p.number, p.protocol) for p in ports]


def _address(backend: Backend) -> Obj:
    namespace, name, uid = backend.pod
    address: Obj = {"ip": backend.address}
    if backend.hostname:
        address["hostname"] = backend.hostname
    if backend.node:
        address["nodeName"] = backend.node
    address["targetRef"] = {"kind": "Pod", "namespace": namespace, "name": name, "uid": uid}
    return address


def _port(port: Port) -> Obj:
    found: Obj = {"port": port.number, "protocol": port.protocol}
    if port.name:
        found["name"] = port.name
    if port.app_protocol is not None:
        found["appProtocol"] = port.app_protocol
    return found


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return await _delete_leftover(key, env)
    wanted = plan(seen)
    if wanted is None:
        return DONE
    if seen.current is None:
        await env.client.create(RESOURCE, wanted)
    else:
        await env.client.update(RESOURCE, wanted)
    return DONE


async def _delete_leftover(key: Key, env: Env) -> Result:
    """Endpoints go with their service, whoever made them; not with its selector."""
    current = env.cache.get(RESOURCE, key.namespace, key.name)
    if current is None or env.cache.get("services", key.namespace, key.name) is not None:
        return DONE
    try:
        await env.client.delete(RESOURCE, key.name, namespace=key.namespace, uid=uid_of(current))
    except NotFound:
        return DONE
    return DONE
