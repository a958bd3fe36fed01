"""Claims and volumes as the scheduler sees them (upstream's volumebinding plugin), decided purely.

A claim that waits for its first consumer is decided together with the pod: an available volume
that the node reaches is bound to it, or the node is written on the claim (``selected-node``) and
its provisioner makes one there. The shell carries the decision out before it binds the pod.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.meta import annotations_of, is_deleting, name_of
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
class PodVolumes:
    """A pod's claims, sorted by what is still to be done about them."""

    # Where each bound volume can be reached from (None: from everywhere).
    bound: Sequence[NodeSelector | None] = ()
    waiting: Sequence[Claim] = ()
    candidates: Sequence[Obj] = ()  # available volumes
    # Why the pod cannot be scheduled at all, upstream's words; "" if nothing is in the way.
    problem: str = ""


@dataclass(frozen=True, slots=True)
class VolumeDecision:
    """For one node: volumes to be bound to claims, and claims to be provisioned there."""

    bind: Sequence[tuple[Obj, Obj]] = ()  # (claim, volume)
    provision: Sequence[Obj] = ()


def look_up(pod: PodFacts, cache: Cache) -> PodVolumes:
    """The pod's claims by their state. Reads the cache only."""
    bound: list[NodeSelector | None] = []
    waiting: list[Claim] = []
    for name in pod.claims:
        claim = cache.get(CLAIMS, pod.key.namespace, name)
        if claim is None:
            return PodVolumes(problem=f'persistentvolumeclaim "{name}" not found')
        if is_deleting(claim):
            return PodVolumes(problem=f'persistentvolumeclaim "{name}" is being deleted')
        volume_name = claim["spec"].get("volumeName")
        if volume_name and BIND_COMPLETED in annotations_of(claim):
            volume = cache.get(VOLUMES, "", volume_name)
            if volume is None:
                reason = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
                return PodVolumes(problem=reason)
            bound.append(reach_of(volume))
            continue
        storage_class = cache.get(CLASSES, "", class_of(claim))
        delayed = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
        if storage_class is None or not delayed or volume_name:
            return PodVolumes(problem="pod has unbound immediate PersistentVolumeClaims")
        waiting.append(Claim(claim, storage_class))
    candidates = _available(cache.list(VOLUMES)) if waiting else ()
    return PodVolumes(bound, waiting, candidates)


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
