"""Which pods stand behind a service, and how: what both endpoint APIs are made of. Pure."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.address_ranges import family_of
from sagong.api.meta import condition, is_deleting, labels_of, name_of, namespace_of, uid_of
from sagong.api.pods import addresses_of
from sagong.api.types import Key, Obj
from sagong.ctl.controller import Cache

ZONE_LABEL = "topology.kubernetes.io/zone"
HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Port:
    """A resolved port; a service without ports has backends without any."""

    name: str
    number: int
    protocol: str
    app_protocol: str | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """One pod of a service, at its address of one family."""

    address: str
    family: str  # "IPv4" or "IPv6"
    pod: tuple[str, str, str]  # namespace, name, uid
    node: str
    zone: str
    hostname: str
    ready: bool  # new connections may go there
    serving: bool  # it answers, perhaps on its way out
    terminating: bool
    ports: tuple[Port, ...]


def selects(service: Obj) -> bool:
    """Whether the service has endpoints that we make: a selector, and not just a name."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def pods_of(service: Obj, cache: Cache) -> list[Obj]:
    selector: Mapping[str, str] = service["spec"].get("selector") or {}
    return [
        pod
        for pod in cache.list("pods", namespace_of(service))
        if selector.items() <= labels_of(pod).items()
    ]


def families_of(service: Obj) -> Sequence[str]:
    """The address families of a service, its primary one first."""
    spec = service["spec"]
    if families := spec.get("ipFamilies"):
        return tuple(families)
    return (family_of(spec.get("clusterIP") or ""),)  # written before services had families


def backends_of(
    service: Obj, pods: Iterable[Obj], zones: Mapping[str, str], family: str
) -> list[Backend]:
    """Backends of a family in the order of their addresses; pods without an address of it are none.

    ``zones`` gives a node's zone by its name.
    """
    publish_all = bool(service["spec"].get("publishNotReadyAddresses"))
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        address = next((ip for ip in addresses_of(pod) if family_of(ip) == family), None)
        if address is None or status.get("phase") in ("Succeeded", "Failed"):
            continue
        ready = condition(pod, "Ready")
        serving = ready is not None and ready["status"] == "True"
        terminating = is_deleting(pod)
        node = pod["spec"].get("nodeName") or ""
        found.append(
            Backend(
                address=address,
                family=family,
                pod=(namespace_of(pod), name_of(pod), uid_of(pod)),
                node=node,
                zone=zones.get(node, ""),
                hostname=_hostname(service, pod),
                ready=publish_all or (serving and not terminating),
                serving=serving,
                terminating=terminating,
                ports=_resolve_ports(service, pod),
            )
        )
    return sorted(found, key=lambda b: (_address_order(b.address), b.pod))


def _address_order(address: str) -> tuple[int, ...]:
    if ":" in address:
        return tuple(ipaddress.IPv6Address(address).packed)
    parts = address.split(".")
    return tuple(int(p) for p in parts) if all(p.isdigit() for p in parts) else (256,)


def _hostname(service: Obj, pod: Obj) -> str:
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == name_of(service):
        return str(spec["hostname"])
    return ""


def _resolve_ports(service: Obj, pod: Obj) -> tuple[Port, ...]:
    """The pod's own numbers of the service's ports, without those it does not name."""
    wanted: Sequence[Obj] = service["spec"].get("ports") or ()
    found = []
    for port in wanted:
        number = _number(port, pod)
        if number is not None:
            protocol = port.get("protocol") or "TCP"
            found.append(Port(port.get("name") or "", number, protocol, port.get("appProtocol")))
    return tuple(found)


def _number(port: Obj, pod: Obj) -> int | None:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    protocol = port.get("protocol") or "TCP"
    spec = pod["spec"]
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*spec.get("containers", ()), *sidecars]:
        for candidate in container.get("ports") or ():
            same = (candidate.get("protocol") or "TCP") == protocol
            if same and candidate.get("name") == target:
                return int(candidate["containerPort"])
    return None


def zones_of(pods: Iterable[Obj], cache: Cache) -> dict[str, str]:
    """The zones of the pods' nodes by name, "" for one without; nodes that are gone are missing."""
    names = {pod["spec"].get("nodeName") or "" for pod in pods}
    nodes = (cache.get("nodes", "", name) for name in names)
    return {name_of(n): labels_of(n).get(ZONE_LABEL, "") for n in nodes if n is not None}


def services_of_pod(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """The services that select a pod, as it was or as it is; none if nothing they see changed."""
    if old is not None and new is not None and _face(old) == _face(new):
        return []
    keys: dict[Key, None] = {}  # an ordered set
    for pod in (old, new):
        if pod is None:
            continue
        labels = labels_of(pod).items()
        for service in cache.list("services", namespace_of(pod)):
            if selects(service) and service["spec"]["selector"].items() <= labels:
                keys[Key(namespace_of(service), name_of(service))] = None
    return keys


def _face(pod: Obj) -> tuple[object, ...]:
    """What a service sees of a pod."""
    status = pod.get("status") or {}
    ready = condition(pod, "Ready")
    return (
        labels_of(pod),
        addresses_of(pod),
        status.get("phase") in ("Succeeded", "Failed"),
        ready["status"] if ready else None,
        is_deleting(pod),
        pod["spec"].get("nodeName"),
    )


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def service_of_owned(old: Obj | None, new: Obj | None, label: str) -> list[Key]:
    """The service that a label of an object names."""
    obj = new or old
    name = labels_of(obj).get(label) if obj else None
    return [Key(namespace_of(obj), name)] if obj and name else []
