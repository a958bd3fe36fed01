"""Keep EndpointSlices equal to the pods that a service selects, for each of its address families.

Reads: Service, Pod, Node, EndpointSlice.  Writes: EndpointSlice (create, update, delete).
Invariant: an endpoint is in one slice of its family and ports only; a slice holds at most 100
endpoints, and only slices whose content changes are written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.errors import AlreadyExists, NotFound
from sagong.api.meta import deep_copy, labels_of, name_of, namespace_of, owner_reference, uid_of
from sagong.api.types import Key, Obj
from sagong.controllers.discovery import topology
from sagong.controllers.discovery.backends import (
    HEADLESS_LABEL,
    Backend,
    Port,
    backends_of,
    families_of,
    is_headless,
    pods_of,
    selects,
    service_of_owned,
    services_of_pod,
    zones_of,
)
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

RESOURCE = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGED_BY = "endpointslice-controller.k8s.io"
ENDPOINTS_MAX = 100  # in a slice; past it another slice is made
_NEAR = ("PreferClose", "PreferSameZone", "PreferSameNode")
_OURS = (SERVICE_LABEL, MANAGED_BY_LABEL, HEADLESS_LABEL)


def _slice_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    return service_of_owned(old, new, SERVICE_LABEL)


def _node_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """A node that comes or goes concerns the services of its pods; one that changes does not."""
    if old is not None and new is not None:
        return []
    node = new or old
    pods = cache.with_index("pods", "node", name_of(node)) if node else ()
    return dict.fromkeys(key for pod in pods for key in services_of_pod(None, pod, cache))


CONTROLLER = Controller(
    name="endpointslice",
    reconciles="services",
    watches=(
        Watch("pods", services_of_pod),
        Watch(
            RESOURCE,
            _slice_wakes,
            indexes={"service": lambda o: [f"{namespace_of(o)}/{labels_of(o).get(SERVICE_LABEL)}"]},
        ),
        Watch("nodes", _node_wakes),
        Watch("pods", indexes={"node": lambda pod: [pod["spec"].get("nodeName") or ""]}),
    ),
    workers=5,
)


@dataclass(frozen=True, slots=True)
class Seen:
    service: Obj
    backends: Sequence[Backend]
    slices: Sequence[Obj]
    # Of a service whose endpoints are to be dealt out: each zone's share, None if unknown.
    shares: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Whole slices: to be created, to replace what is there, and to be deleted."""

    create: Sequence[Obj] = ()
    update: Sequence[Obj] = ()
    delete: Sequence[Obj] = ()


def observe(key: Key, cache: Cache) -> Seen | None:
    service = cache.get("services", key.namespace, key.name)
    if service is None or not selects(service):
        return None
    slices = [
        s
        for s in cache.with_index(RESOURCE, "service", str(key))
        if labels_of(s).get(MANAGED_BY_LABEL) == MANAGED_BY
    ]
    pods = pods_of(service, cache)
    zones = zones_of(pods, cache)
    publish_all = bool(service["spec"].get("publishNotReadyAddresses"))
    backends = [
        b
        for family in families_of(service)
        for b in backends_of(service, pods, zones, family)
        # What is left of a pod whose node is gone would take traffic until somebody cleans up.
        if publish_all or not b.node or b.node in zones
    ]
    shares = topology.shares_of(cache.list("nodes")) if topology.is_asked_for(service) else None
    return Seen(service, backends, sorted(slices, key=name_of), shares)


def plan(seen: Seen) -> Plan:
    """Fill the slices there are, each with the ports it has, before making new ones."""
    families = families_of(seen.service)
    plans = [_plan_family(seen, family) for family in families]
    # The type of a slice cannot change: those of a family that the service gave up go.
    gone = [s for s in seen.slices if s["addressType"] not in families]
    return Plan(
        [s for p in plans for s in p.create],
        [s for p in plans for s in p.update],
        [*(s for p in plans for s in p.delete), *gone],
    )


def _plan_family(seen: Seen, family: str) -> Plan:
    groups: dict[tuple[Port, ...], list[Backend]] = {}
    for backend in seen.backends:
        if backend.family == family:
            groups.setdefault(backend.ports, []).append(backend)
    # A service without backends keeps one empty slice, so that its absence means something.
    groups = groups or {(): []}
    create: list[Obj] = []
    update: list[Obj] = []
    unused = [s for s in seen.slices if s["addressType"] == family]
    for ports, backends in groups.items():
        mine = [s for s in unused if _ports_equal(s.get("ports"), ports)]
        if not backends:
            mine = unused[:1]
        unused = [s for s in unused if s not in mine]
        hints = _hints_of(seen, backends)
        left = {b.pod[2]: _endpoint(b, hints.get(b.pod[2])) for b in backends}
        kept, made, spare = _fill(_Kind(seen.service, family, ports), left, mine)
        update += kept
        create += made
        unused += spare
    return Plan(create, update, unused)


@dataclass(frozen=True, slots=True)
class _Kind:
    """Which slices of a service: an endpoint may be in any of the same kind."""

    service: Obj
    family: str
    ports: tuple[Port, ...]


def _fill(
    kind: _Kind, endpoints: dict[str, Obj], slices: Sequence[Obj]
) -> tuple[list[Obj], list[Obj], list[Obj]]:
    """Spread endpoints over slices of their kind: (to update, to create, no longer needed).

    ``endpoints`` by the uid of their pod.
    """
    left = dict(endpoints)
    contents: list[tuple[Obj, list[Obj]]] = []
    for current in slices:
        staying = []
        for endpoint in current.get("endpoints") or ():
            uid = (endpoint.get("targetRef") or {}).get("uid", "")
            if uid in left:
                staying.append(left.pop(uid))
        contents.append((current, staying))
    newcomers = list(left.values())
    for _, staying in contents:
        room = ENDPOINTS_MAX - len(staying)
        staying += newcomers[:room]
        newcomers = newcomers[room:]
    update, spare = [], []
    for index, (current, staying) in enumerate(contents):
        if not staying and (endpoints or index > 0):
            spare.append(current)
            continue
        wanted = _slice(kind, staying, current)
        if wanted != current:
            update.append(wanted)
    chunks = [newcomers[i : i + ENDPOINTS_MAX] for i in range(0, len(newcomers), ENDPOINTS_MAX)]
    if not endpoints and not slices:
        chunks = [[]]
    return update, [_slice(kind, chunk, None) for chunk in chunks], spare


def _hints_of(seen: Seen, backends: Sequence[Backend]) -> Mapping[str, Obj]:
    """By uid of its pod, who should use an endpoint. The annotation goes before the field."""
    ready = [b for b in backends if b.ready and not b.terminating]
    if topology.is_asked_for(seen.service):
        dealt = topology.deal([(b.pod[2], b.zone) for b in ready], seen.shares)
        return {uid: {"forZones": [{"name": zone}]} for uid, zone in (dealt or {}).items()}
    distribution = seen.service["spec"].get("trafficDistribution") or ""
    return {b.pod[2]: _near(b, distribution) for b in backends if b.ready and distribution in _NEAR}


def _near(backend: Backend, distribution: str) -> Obj:
    """Those of its zone, or even of its node."""
    hints: Obj = {}
    if backend.zone:
        hints["forZones"] = [{"name": backend.zone}]
    if backend.node and distribution == "PreferSameNode":
        hints["forNodes"] = [{"name": backend.node}]
    return hints


def _endpoint(backend: Backend, hints: Obj | None) -> Obj:
    namespace, name, uid = backend.pod
    endpoint: Obj = {
        "addresses": [backend.address],
        "conditions": {
            "ready": backend.ready,
            "serving": backend.serving,
            "terminating": backend.terminating,
        },
        "targetRef": {"kind": "Pod", "namespace": namespace, "name": name, "uid": uid},
    }
    if backend.hostname:
        endpoint["hostname"] = backend.hostname
    if backend.node:
        endpoint["nodeName"] = backend.node
    if backend.zone:
        endpoint["zone"] = backend.zone
    if hints:
        endpoint["hints"] = hints
    return endpoint


def _slice(kind: _Kind, endpoints: Sequence[Obj], current: Obj | None) -> Obj:
    """A whole slice; fields of an existing one that are not ours stay."""
    service = kind.service
    wanted: Obj = deep_copy(current) if current else {"metadata": {}}
    metadata = wanted["metadata"]
    labels = {k: v for k, v in labels_of(service).items() if k not in _OURS}
    labels |= {SERVICE_LABEL: name_of(service), MANAGED_BY_LABEL: MANAGED_BY}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    metadata["labels"] = labels
    if current is None:
        metadata["generateName"] = f"{name_of(service)}-"
        metadata["namespace"] = namespace_of(service)
        reference = owner_reference(service)
        metadata["ownerReferences"] = [reference]
    wanted["apiVersion"] = "discovery.k8s.io/v1"
    wanted["kind"] = "EndpointSlice"
    wanted["addressType"] = kind.family
    wanted["endpoints"] = list(endpoints)
    wanted["ports"] = [_port(p) for p in kind.ports]
    for field in ("endpoints", "ports"):
        # An empty list reads back as null: compare like with like.
        if not wanted[field] and current is not None and not current.get(field):
            wanted[field] = current.get(field)
    return wanted


def _port(port: Port) -> Obj:
    found: Obj = {"name": port.name, "port": port.number, "protocol": port.protocol}
    if port.app_protocol is not None:
        found["appProtocol"] = port.app_protocol
    return found


def _ports_equal(current: Sequence[Mapping[str, object]] | None, ports: tuple[Port, ...]) -> bool:
    def identity(port: Mapping[str, object]) -> tuple[str, str, str, str]:
        values = (port.get("name"), port.get("port"), port.get("protocol"), port.get("appProtocol"))
        return tuple("" if v is None else str(v) for v in values)  # type: ignore[return-value]

    return sorted(map(identity, current or ())) == sorted(identity(_port(p)) for p in ports)


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return await _delete_leftovers(key, env)
    steps = plan(seen)
    for obj in steps.create:
        await env.client.create(RESOURCE, obj)
    for obj in steps.update:
        await env.client.update(RESOURCE, obj)
    for obj in steps.delete:
        await _delete(obj, env)
    return DONE


async def _delete_leftovers(key: Key, env: Env) -> Result:
    """A service that is gone takes its slices along; one without selector leaves its slices."""
    if env.cache.get("services", key.namespace, key.name) is not None:
        return DONE
    for obj in env.cache.with_index(RESOURCE, "service", str(key)):
        if labels_of(obj).get(MANAGED_BY_LABEL) == MANAGED_BY:
            await _delete(obj, env)
    return DONE


async def _delete(obj: Obj, env: Env) -> None:
    try:
        await env.client.delete(
            RESOURCE, name_of(obj), namespace=namespace_of(obj), uid=uid_of(obj)
        )
    except (NotFound, AlreadyExists):
        return
