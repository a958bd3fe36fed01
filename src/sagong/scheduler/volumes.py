"""Claims and volumes as the scheduler sees them (upstream's volumebinding plugin), decided purely.

A claim that waits for its first consumer is decided together with the pod: an available volume
that the node reaches is bound to it, or the node is written on the claim (``selected-node``) and
its provisioner makes one there. The shell carries the decision out before it binds the pod.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api import quantities
from sagong.api.meta import annotations_of, is_deleting, labels_of, name_of
from sagong.api.selectors import selector_from_object
from sagong.api.types import Obj
from sagong.api.volumes import (
    BIND_COMPLETED,
    CLAIMS,
    CLASSES,
    NO_PROVISIONER,
    SELECTED_NODE,
    VOLUMES,
    capacity,
    class_of,
    is_reserved_for,
    is_selected,
    mode_of,
    offers_access,
    phase_of,
    wanted_bytes,
)
from sagong.ctl.controller import Cache
from sagong.scheduler.node_selectors import NodeSelector, node_selector
from sagong.scheduler.pod import PodFacts


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the pod that is to be decided together with it."""

    obj: Obj
    storage_class: Obj


@dataclass(frozen=True, slots=True)
class Space:
    """CSIStorageCapacity objects, and the drivers that want them heeded."""

    heeded: frozenset[str]
    capacities: Sequence[Obj]


@dataclass(frozen=True, slots=True)
class PodVolumes:
    """A pod's claims, sorted by what is still to be done about them."""

    # Where each bound volume can be reached from (None: from everywhere).
    bound: Sequence[NodeSelector | None] = ()
    waiting: Sequence[Claim] = ()
    candidates: Sequence[Obj] = ()  # available volumes
    # Why the pod cannot be scheduled at all, upstream's words; "" if nothing is in the way.
    problem: str = ""
    missing: str = ""  # the same, where a claim is not there at all
    # Claims that only one pod may use, and each claim's CSI driver, by namespace and name.
    exclusive: Sequence[tuple[str, str]] = ()
    drivers: Mapping[tuple[str, str], str] = field(default_factory=dict)
    # Topology labels of bound volumes with the values that nodes may have.
    zones: Sequence[tuple[str, frozenset[str]]] = ()
    # What provisioners have said about their space; None: nobody asked.
    space: Space | None = None


@dataclass(frozen=True, slots=True)
class VolumeDecision:
    """For one node: volumes to be bound to claims, and claims to be provisioned there."""

    bind: Sequence[tuple[Obj, Obj]] = ()  # (claim, volume)
    provision: Sequence[Obj] = ()


def look_up(pod: PodFacts, cache: Cache) -> PodVolumes:
    """The pod's claims by their state. Reads the cache only."""
    if not pod.claims:
        return PodVolumes()
    namespace = pod.key.namespace
    found: dict[str, Obj] = {}
    for name in pod.claims:
        claim = cache.get(CLAIMS, namespace, name)
        if claim is None:
            missing = f'persistentvolumeclaim "{name}" not found'
            return PodVolumes(problem=missing, missing=missing, exclusive=((namespace, name),))
        if is_deleting(claim):
            return PodVolumes(problem=f'persistentvolumeclaim "{name}" is being deleted')
        found[name] = claim
    sorted_ = _Sorted()
    for claim in found.values():
        problem = sorted_.add(claim, cache)
        if problem:
            return PodVolumes(problem=problem)
    return PodVolumes(
        bound=sorted_.bound,
        waiting=sorted_.waiting,
        candidates=_available(cache.list(VOLUMES)) if sorted_.waiting else (),
        exclusive=[(namespace, n) for n, c in found.items() if _is_exclusive(c)],
        drivers={
            (namespace, name): driver
            for name in found
            if (driver := driver_of((namespace, name), cache))
        },
        zones=sorted_.zones,
        space=space_of(cache) if sorted_.waiting else None,
    )


class _Sorted:
    """Claims of one pod, by what is still to be done about them."""

    def __init__(self) -> None:
        self.bound: list[NodeSelector | None] = []
        self.waiting: list[Claim] = []
        self.zones: list[tuple[str, frozenset[str]]] = []

    def add(self, claim: Obj, cache: Cache) -> str:
        """Sort a claim in; says what is wrong with it, or ""."""
        volume_name = claim["spec"].get("volumeName")
        if volume_name and BIND_COMPLETED in annotations_of(claim):
            volume = cache.get(VOLUMES, "", volume_name)
            if volume is None:
                return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
            self.bound.append(reach_of(volume))
            self.zones += _zones_of(volume)
            return ""
        storage_class = cache.get(CLASSES, "", class_of(claim))
        delayed = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
        if storage_class is None or not delayed or volume_name:
            return "pod has unbound immediate PersistentVolumeClaims"
        self.waiting.append(Claim(claim, storage_class))
        return ""


_ZONE_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


def _zones_of(volume: Obj) -> list[tuple[str, frozenset[str]]]:
    """A volume that is in several zones separates them by two underscores."""
    labels = labels_of(volume)
    return [(k, frozenset(labels[k].split("__"))) for k in _ZONE_LABELS if k in labels]


def _is_exclusive(claim: Obj) -> bool:
    return "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ())


def driver_of(claim: tuple[str, str], cache: Cache) -> str:
    """The CSI driver of a claim's volume, or of the volume that will be made for it; or ""."""
    obj = cache.get(CLAIMS, *claim)
    if obj is None:
        return ""
    volume_name = obj["spec"].get("volumeName")
    if volume_name:
        volume = cache.get(VOLUMES, "", volume_name)
        return str(((volume or {}).get("spec") or {}).get("csi", {}).get("driver") or "")
    storage_class = cache.get(CLASSES, "", class_of(obj)) or {}
    provisioner = str(storage_class.get("provisioner") or NO_PROVISIONER)
    return "" if provisioner.startswith("kubernetes.io/") else provisioner


def reach_of(volume: Obj) -> NodeSelector | None:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return node_selector(required) if required else None


def _available(volumes: Iterable[Obj]) -> list[Obj]:
    """Volumes that nobody has; smallest first, as upstream picks the smallest that fits."""
    free = [v for v in volumes if phase_of(v) == "Available" and not is_deleting(v)]
    return sorted(free, key=lambda v: (capacity(v), name_of(v)))


def fits_claim(volume: Obj, claim: Obj) -> bool:
    """Whether a volume could serve a claim, the node apart."""
    if volume["spec"].get("claimRef") and not is_reserved_for(volume, claim):
        return False
    if class_of(volume) != class_of(claim) or mode_of(volume) != mode_of(claim):
        return False
    if not offers_access(volume, claim) or capacity(volume) < wanted_bytes(claim):
        return False
    return is_selected(volume, claim)


def decide(volumes: PodVolumes, node_name: str, labels: Mapping[str, str]) -> VolumeDecision | None:
    """What to do about the waiting claims on a node; None if it cannot be done there."""
    bind: list[tuple[Obj, Obj]] = []
    provision: list[Obj] = []
    taken: set[str] = set()
    for claim in volumes.waiting:
        selected = annotations_of(claim.obj).get(SELECTED_NODE)
        if selected is not None:
            if selected != node_name:
                return None
            provision.append(claim.obj)
            continue
        volume = _first_fitting(volumes.candidates, claim.obj, taken, node_name, labels)
        if volume is not None:
            taken.add(name_of(volume))
            bind.append((claim.obj, volume))
        elif _can_provision(claim, node_name, labels):
            provision.append(claim.obj)
        else:
            return None
    return VolumeDecision(bind, provision)


def _first_fitting(
    candidates: Sequence[Obj],
    claim: Obj,
    taken: set[str],
    node_name: str,
    labels: Mapping[str, str],
) -> Obj | None:
    for volume in candidates:
        if name_of(volume) in taken or not fits_claim(volume, claim):
            continue
        reach = reach_of(volume)
        if reach is None or reach.matches(node_name, labels):
            return volume
    return None


def _can_provision(claim: Claim, node_name: str, labels: Mapping[str, str]) -> bool:
    if (claim.storage_class.get("provisioner") or NO_PROVISIONER) == NO_PROVISIONER:
        return False
    topologies = claim.storage_class.get("allowedTopologies")
    if not topologies:
        return True
    return any(
        all(labels.get(e["key"]) in e["values"] for e in term.get("matchLabelExpressions") or ())
        for term in topologies
    )


DRIVERS = "csidrivers.storage.k8s.io"
CAPACITIES = "csistoragecapacities.storage.k8s.io"
NO_SPACE = "node(s) did not have enough free storage"


def space_of(cache: Cache) -> Space:
    drivers = (d for d in cache.list(DRIVERS) if (d.get("spec") or {}).get("storageCapacity"))
    return Space(frozenset(name_of(d) for d in drivers), tuple(cache.list(CAPACITIES)))


def shortage(volumes: PodVolumes, decision: VolumeDecision, labels: Mapping[str, str]) -> bool:
    """Whether some claim that is to be provisioned finds no space at a node."""
    classes = {name_of(c.obj): c.storage_class for c in volumes.waiting}
    return any(
        not _has_space(volumes.space, claim, classes[name_of(claim)], labels)
        for claim in decision.provision
        if SELECTED_NODE not in annotations_of(claim)
    )


def _has_space(
    space: Space | None, claim: Obj, storage_class: Obj, labels: Mapping[str, str]
) -> bool:
    if space is None or storage_class.get("provisioner") not in space.heeded:
        return True
    size = wanted_bytes(claim)
    return any(
        capacity.get("storageClassName") == name_of(storage_class)
        and _largest(capacity) >= size
        and _reaches(capacity, labels)
        for capacity in space.capacities
    )


def _largest(capacity: Obj) -> int:
    """The largest volume that can be made; the capacity bounds it where nothing else is said."""
    limit = capacity.get("maximumVolumeSize") or capacity.get("capacity")
    return -1 if limit is None else quantities.parse(limit).value


def _reaches(capacity: Obj, labels: Mapping[str, str]) -> bool:
    topology = capacity.get("nodeTopology")
    return topology is not None and selector_from_object(topology).matches(labels)
