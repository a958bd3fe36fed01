"""Bind claims to volumes, and look after volumes whose claim is gone.

Reads: PersistentVolumeClaim, PersistentVolume, StorageClass.
Writes: PersistentVolume (claimRef, phase, delete), PersistentVolumeClaim (volumeName, phase).
Invariant: the volume is written before the claim, so a crash in between leaves a reservation that
the next pass completes; a volume is never given to a second claim before it was released.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from sagong.api.errors import NotFound
from sagong.api.meta import annotations_of, deep_copy, is_deleting, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.api.volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    CLAIMS,
    CLASSES,
    LEGACY_PROVISIONER,
    NO_PROVISIONER,
    PROVISIONER,
    SELECTED_NODE,
    VOLUMES,
    annotated,
    best_volume,
    claim_key,
    claim_reference,
    class_of,
    is_reserved_for,
    mismatch,
    phase_of,
    with_annotations,
)
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch


def _volume_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """A volume concerns its claim; one that is free concerns every claim that waits."""
    keys = [key for obj in (old, new) if obj and (key := claim_key(obj))]
    if new is not None and not new["spec"].get("claimRef"):
        keys += [
            Key(namespace_of(c), name_of(c)) for c in cache.list(CLAIMS) if phase_of(c) != "Bound"
        ]
    return keys


def _class_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    obj = new or old
    if obj is None:
        return []
    return [
        Key(namespace_of(c), name_of(c))
        for c in cache.list(CLAIMS)
        if class_of(c) == name_of(obj) or c["spec"].get("storageClassName") is None
    ]


CONTROLLER = Controller(
    name="persistentvolume-binder",
    reconciles=CLAIMS,
    watches=(Watch(VOLUMES, _volume_wakes), Watch(CLASSES, _class_wakes)),
    component="persistentvolume-controller",
)


IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"


class Step(Enum):
    """What a claim needs next."""

    NOTHING = "nothing"
    BIND = "bind to the volume"
    PENDING = "mark pending"
    LOST = "mark lost: its volume is gone"
    ASK_PROVISIONER = "name the provisioner on the claim"
    ADOPT_CLASS = "take the default storage class"


@dataclass(frozen=True, slots=True)
class Seen:
    claim: Obj
    named_volume: Obj | None  # the one in spec.volumeName
    volumes: Sequence[Obj]
    storage_class: Obj | None
    default_class: str = ""  # of the cluster, for claims that name none at all


@dataclass(frozen=True, slots=True)
class Event:
    """What the claim's user is told."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    step: Step
    volume: Obj | None = None
    event: Event | None = None


_WAITING = Event(
    "Normal",
    "WaitForFirstConsumer",
    "waiting for first consumer to be created before binding",
)
_NO_CLASS = Event(
    "Normal",
    "FailedBinding",
    "no persistent volumes available for this claim and no storage class is set",
)
_LOST = Event(
    "Warning",
    "ClaimLost",
    "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
)
_MISBOUND = Event(
    "Warning",
    "ClaimMisbound",
    "Two claims are bound to the same volume, this one is bound incorrectly",
)


def observe(key: Key, cache: Cache) -> Seen | None:
    claim = cache.get(CLAIMS, key.namespace, key.name)
    if claim is None:
        return None
    name = claim["spec"].get("volumeName") or ""
    return Seen(
        claim=claim,
        named_volume=cache.get(VOLUMES, "", name) if name else None,
        volumes=[] if name else list(cache.list(VOLUMES)),
        storage_class=cache.get(CLASSES, "", class_of(claim)),
        default_class=_default_class(claim, cache),
    )


def _default_class(claim: Obj, cache: Cache) -> str:
    """The newest class that calls itself default, for a claim that names none; "" if none does."""
    if claim["spec"].get("storageClassName") is not None:
        return ""
    defaults = [c for c in cache.list(CLASSES) if annotated(c, IS_DEFAULT) == "true"]
    # Of the same second, the first by name.
    defaults.sort(key=name_of)
    newest = max(defaults, key=lambda c: str(c["metadata"]["creationTimestamp"]), default=None)
    return name_of(newest) if newest else ""


def plan(seen: Seen) -> Plan:
    claim = seen.claim
    if is_deleting(claim):
        return Plan(Step.NOTHING)
    if claim["spec"].get("volumeName"):
        return _plan_named(seen)
    reserved = next((v for v in seen.volumes if is_reserved_for(v, claim)), None)
    if seen.default_class and reserved is None:
        return Plan(Step.ADOPT_CLASS)
    delayed = (seen.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    selected = annotated(claim, SELECTED_NODE)
    if delayed and selected is None and reserved is None:
        return Plan(Step.PENDING, event=_WAITING)
    volume = best_volume([reserved] if reserved else seen.volumes, claim)
    if volume is not None:
        return Plan(Step.BIND, volume)
    return _plan_provisioning(seen)


def _plan_provisioning(seen: Seen) -> Plan:
    name = class_of(seen.claim)
    if not name:
        return Plan(Step.PENDING, event=_NO_CLASS)
    if seen.storage_class is None:
        message = f'storageclass.storage.k8s.io "{name}" not found'
        return Plan(Step.PENDING, event=Event("Warning", "ProvisioningFailed", message))
    provisioner = seen.storage_class["provisioner"]
    if provisioner == NO_PROVISIONER:
        message = f'storageclass "{name}" has no provisioner: no volume plugin matched'
        return Plan(Step.PENDING, event=Event("Warning", "ProvisioningFailed", message))
    message = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' "
        "or manually by the system administrator. If volume creation is delayed, please verify "
        "that the provisioner is running and correctly registered."
    )
    return Plan(Step.ASK_PROVISIONER, event=Event("Normal", "ExternalProvisioning", message))


def _plan_named(seen: Seen) -> Plan:
    claim, volume = seen.claim, seen.named_volume
    completed = annotated(claim, BIND_COMPLETED) is not None
    if volume is None:
        return Plan(Step.LOST, event=_LOST) if completed else Plan(Step.PENDING)
    if volume["spec"].get("claimRef") and not is_reserved_for(volume, claim):
        if completed:
            return Plan(Step.LOST, event=_MISBOUND)
        message = f'volume "{name_of(volume)}" already bound to a different claim.'
        return Plan(Step.PENDING, event=Event("Warning", "FailedBinding", message))
    if not completed and (problem := mismatch(volume, claim)):
        message = f'Cannot bind to requested volume "{name_of(volume)}": {problem}'
        return Plan(Step.PENDING, event=Event("Warning", "VolumeMismatch", message))
    done = completed and phase_of(claim) == "Bound" and phase_of(volume) == "Bound"
    return Plan(Step.NOTHING if done else Step.BIND, volume)


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    steps = plan(seen)
    claim = seen.claim
    if steps.event is not None:
        env.events.emit(claim, steps.event.type, steps.event.reason, steps.event.message)
    match steps.step:
        case Step.BIND:
            assert steps.volume is not None
            await _bind(claim, steps.volume, env)
        case Step.LOST:
            await _set_phase(CLAIMS, claim, "Lost", env)
        case Step.PENDING:
            await _set_phase(CLAIMS, claim, "Pending", env)
        case Step.ADOPT_CLASS:
            changed = deep_copy(claim)
            changed["spec"]["storageClassName"] = seen.default_class
            await env.client.update(CLAIMS, changed)
        case Step.ASK_PROVISIONER:
            assert seen.storage_class is not None
            await _ask_provisioner(claim, seen.storage_class["provisioner"], env)
    return DONE


async def _ask_provisioner(claim: Obj, provisioner: str, env: Env) -> None:
    if annotated(claim, PROVISIONER) != provisioner:
        asked = {PROVISIONER: provisioner, LEGACY_PROVISIONER: provisioner}
        await env.client.update(CLAIMS, with_annotations(claim, asked))


async def _bind(claim: Obj, volume: Obj, env: Env) -> None:
    volume = await _bind_volume(claim, volume, env)
    await _set_phase(VOLUMES, volume, "Bound", env)
    changed = deep_copy(claim)
    annotations = dict(annotations_of(claim))
    if not claim["spec"].get("volumeName"):
        changed["spec"]["volumeName"] = name_of(volume)
        annotations[BOUND_BY_CONTROLLER] = "yes"
    annotations[BIND_COMPLETED] = "yes"
    changed["metadata"]["annotations"] = annotations
    if changed != claim:
        changed = await env.client.update(CLAIMS, changed)
    await _set_phase(CLAIMS, changed, "Bound", env, volume=volume)


async def _bind_volume(claim: Obj, volume: Obj, env: Env) -> Obj:
    """Write the claim on the volume, with its uid."""
    if (volume["spec"].get("claimRef") or {}).get("uid") == uid_of(claim):
        return volume
    changed = deep_copy(volume)
    if not volume["spec"].get("claimRef"):
        annotations = dict(annotations_of(volume)) | {BOUND_BY_CONTROLLER: "yes"}
        changed["metadata"]["annotations"] = annotations
    changed["spec"]["claimRef"] = claim_reference(claim)
    return await env.client.update(VOLUMES, changed)


async def _set_phase(
    resource: str, obj: Obj, phase: str, env: Env, *, volume: Obj | None = None
) -> None:
    changed = deep_copy(obj)
    status = changed.setdefault("status", {})
    status["phase"] = phase
    if volume is not None:
        status["accessModes"] = volume["spec"].get("accessModes") or []
        status["capacity"] = volume["spec"].get("capacity") or {}
    if changed == obj:
        return
    try:
        await env.client.update(resource, changed, subresource="status")
    except NotFound:
        return
