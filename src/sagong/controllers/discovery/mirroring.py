"""Mirror Endpoints that users make into EndpointSlices, which is what proxies read.

Reads: Endpoints, Service, EndpointSlice.  Writes: EndpointSlice (create, update, delete).
Invariant: only Endpoints of services without a selector are mirrored; slices that users made
themselves are never touched.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.errors import NotFound
from sagong.api.meta import (
    annotations_of,
    deep_copy,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from sagong.api.types import Key, Obj
from sagong.controllers.discovery.endpointslice import MANAGED_BY_LABEL, RESOURCE, SERVICE_LABEL
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

MANAGED_BY = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_COPIED = (
    "endpoints.kubernetes.io/last-change-trigger-time",
    "endpoints.kubernetes.io/over-capacity",
    "kubectl.kubernetes.io/last-applied-configuration",
)
ENDPOINTS_MAX = 1000  # of a subset, and so of a slice; the rest is left out, ready ones last


def _itself(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    obj = new or old
    return [Key(namespace_of(obj), name_of(obj))] if obj else []


def _slice_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    obj = new or old
    if obj is None or labels_of(obj).get(MANAGED_BY_LABEL) != MANAGED_BY:
        return []
    return [Key(namespace_of(obj), labels_of(obj).get(SERVICE_LABEL, ""))]


CONTROLLER = Controller(
    name="endpointslicemirroring",
    reconciles="endpoints",
    watches=(
        Watch("services", _itself),
        Watch(
            RESOURCE,
            _slice_wakes,
            indexes={"service": lambda o: [f"{namespace_of(o)}/{labels_of(o).get(SERVICE_LABEL)}"]},
        ),
    ),
    workers=5,
)


@dataclass(frozen=True, slots=True)
class Seen:
    endpoints: Obj | None  # None: not to be mirrored
    slices: Sequence[Obj]  # mirrors that are there


@dataclass(frozen=True, slots=True)
class Plan:
    """Whole slices."""

    create: Sequence[Obj] = ()
    update: Sequence[Obj] = ()
    delete: Sequence[Obj] = ()


def observe(key: Key, cache: Cache) -> Seen:
    slices = [
        s
        for s in cache.with_index(RESOURCE, "service", str(key))
        if labels_of(s).get(MANAGED_BY_LABEL) == MANAGED_BY
    ]
    endpoints = cache.get("endpoints", key.namespace, key.name)
    service = cache.get("services", key.namespace, key.name)
    wanted = (
        endpoints is not None
        and service is not None
        and not service["spec"].get("selector")
        and not is_deleting(endpoints)
        and labels_of(endpoints).get(SKIP_LABEL) != "true"
        and _LEADER not in annotations_of(endpoints)
    )
    return Seen(endpoints if wanted else None, sorted(slices, key=name_of))


Group = tuple[str, tuple[tuple[str, int, str, str], ...]]  # address type; ports


def plan(seen: Seen) -> Plan:
    """One slice for each address type and set of ports."""
    if seen.endpoints is None:
        return Plan(delete=seen.slices)
    unused = {_group_of(s): s for s in seen.slices}
    spare = [s for s in seen.slices if unused[_group_of(s)] is not s]
    create, update = [], []
    for group, endpoints in _groups(seen.endpoints).items():
        current = unused.pop(group, None)
        wanted = _slice(seen.endpoints, group, endpoints, current)
        if current is None:
            create.append(wanted)
        elif wanted != current:
            update.append(wanted)
    return Plan(create, update, [*unused.values(), *spare])


def _groups(endpoints: Obj) -> dict[Group, list[Obj]]:
    found: dict[Group, list[Obj]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = _ports(subset.get("ports"))
        addresses = [(a, True) for a in subset.get("addresses") or ()]
        addresses += [(a, False) for a in subset.get("notReadyAddresses") or ()]
        for address, ready in addresses[:ENDPOINTS_MAX]:
            family = "IPv6" if ":" in address["ip"] else "IPv4"
            found.setdefault((family, ports), []).append(_endpoint(address, ready))
    return {group: endpoints[:ENDPOINTS_MAX] for group, endpoints in found.items()}


def _ports(ports: Iterable[Mapping[str, object]] | None) -> tuple[tuple[str, int, str, str], ...]:
    return tuple(
        sorted(
            (
                str(p.get("name") or ""),
                int(str(p.get("port") or 0)),
                str(p.get("protocol") or "TCP"),
                str(p.get("appProtocol") or ""),
            )
            for p in ports or ()
        )
    )


def _group_of(obj: Obj) -> Group:
    return obj["addressType"], _ports(obj.get("ports"))


def _endpoint(address: Obj, ready: bool) -> Obj:
    endpoint: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for part in ("hostname", "nodeName", "targetRef"):
        if address.get(part):
            endpoint[part] = address[part]
    return endpoint


def _slice(endpoints: Obj, group: Group, found: Sequence[Obj], current: Obj | None) -> Obj:
    wanted: Obj = deep_copy(current) if current else {"metadata": {}}
    metadata = wanted["metadata"]
    name = name_of(endpoints)
    metadata["labels"] = {
        **labels_of(endpoints),
        SERVICE_LABEL: name,
        MANAGED_BY_LABEL: MANAGED_BY,
    }
    annotations = {k: v for k, v in annotations_of(endpoints).items() if k not in _NOT_COPIED}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    if current is None:
        metadata["generateName"] = f"{name}-"
        metadata["namespace"] = namespace_of(endpoints)
        metadata["ownerReferences"] = [owner_reference(endpoints)]
    wanted["apiVersion"], wanted["kind"] = "discovery.k8s.io/v1", "EndpointSlice"
    wanted["addressType"] = group[0]
    wanted["endpoints"] = list(found)
    if current is None:
        wanted["ports"] = [_port(port) for port in group[1]]
    return wanted


def _port(port: tuple[str, int, str, str]) -> Obj:
    name, number, protocol, app_protocol = port
    found: Obj = {"name": name, "port": number, "protocol": protocol}
    if app_protocol:
        found["appProtocol"] = app_protocol
    return found


async def reconcile(key: Key, env: Env) -> Result:
    steps = plan(observe(key, env.cache))
    for obj in steps.create:
        await env.client.create(RESOURCE, obj)
    for obj in steps.update:
        await env.client.update(RESOURCE, obj)
    for obj in steps.delete:
        try:
            await env.client.delete(
                RESOURCE, name_of(obj), namespace=namespace_of(obj), uid=uid_of(obj)
            )
        except NotFound:
            continue
    return DONE
