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
from sagong.controllers.storage.volumes import (
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
    phase_of,
)
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch


def _volume_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """A volume concerns its claim; one that is free concerns every claim that waits."""
    keys = {key for obj in (old, new) if obj and (key := claim_key(obj))}
    if new is not None and not new["spec"].get("claimRef"):
        keys |= {
            Key(namespace_of(c), name_of(c)) for c in cache.list(CLAIMS) if phase_of(c) != "Bound"
        }
    return keys


def _class_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    obj = new or old
    if obj is None:
        return []
    return [
        Key(namespace_of(c), name_of(c)) for c in cache.list(CLAIMS) if class_of(c) == name_of(obj)
    ]


CONTROLLER = Controller(
    name="persistentvolume-binder",
    reconciles=CLAIMS,
    watches=(Watch(VOLUMES, _volume_wakes), Watch(CLASSES, _class_wakes)),
    component="persistentvolume-controller",
)


class Step(Enum):
    """What a claim needs next."""

    NOTHING = "nothing"
    BIND = "bind to the volume"
    PENDING = "mark pending"
    LOST = "mark lost: its volume is gone"
    ASK_PROVISIONER = "name the provisioner on the claim"
    WAIT_FOR_CONSUMER = "wait for a pod"


@dataclass(frozen=True, slots=True)
class Seen:
    claim: Obj
    named_volume: Obj | None  # the one in spec.volumeName
    volumes: Sequence[Obj]
    storage_class: Obj | None


@dataclass(frozen=True, slots=True)
class Plan:
    step: Step
    volume: Obj | None = None


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
    )


def plan(seen: Seen) -> Plan:
    claim = seen.claim
    if is_deleting(claim):
        return Plan(Step.NOTHING)
    if claim["spec"].get("volumeName"):
        return _plan_named(seen)
    reserved = next((v for v in seen.volumes if is_reserved_for(v, claim)), None)
    delayed = (seen.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    selected = annotated(claim, SELECTED_NODE)
    if delayed and selected is None and reserved is None:
        return Plan(Step.WAIT_FOR_CONSUMER)
    volume = best_volume([reserved] if reserved else seen.volumes, claim)
    if volume is not None:
        return Plan(Step.BIND, volume)
    provisioner = (seen.storage_class or {}).get("provisioner") or NO_PROVISIONER
    if provisioner != NO_PROVISIONER:
        return Plan(Step.ASK_PROVISIONER)
    return Plan(Step.PENDING)


def _plan_named(seen: Seen) -> Plan:
    claim, volume = seen.claim, seen.named_volume
    completed = annotated(claim, BIND_COMPLETED) is not None
    if volume is None:
        return Plan(Step.LOST if completed else Step.PENDING)
    if volume["spec"].get("claimRef") and not is_reserved_for(volume, claim):
        return Plan(Step.LOST if completed else Step.PENDING)
    done = completed and phase_of(claim) == "Bound" and phase_of(volume) == "Bound"
    return Plan(Step.NOTHING if done else Step.BIND, volume)


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    steps = plan(seen)
    claim = seen.claim
    match steps.step:
        case Step.BIND:
            assert steps.volume is not None
            await _bind(claim, steps.volume, env)
        case Step.LOST:
            await _set_phase(CLAIMS, claim, "Lost", env)
            message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            env.events.emit(claim, "Warning", "ClaimLost", message)
        case Step.PENDING:
            await _set_phase(CLAIMS, claim, "Pending", env)
            env.events.emit(
                claim,
                "Normal",
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            )
        case Step.WAIT_FOR_CONSUMER:
            env.events.emit(
                claim,
                "Normal",
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            )
        case Step.ASK_PROVISIONER:
            assert seen.storage_class is not None
            await _ask_provisioner(claim, seen.storage_class["provisioner"], env)
    return DONE


async def _ask_provisioner(claim: Obj, provisioner: str, env: Env) -> None:
    if annotated(claim, PROVISIONER) != provisioner:
        annotations = {PROVISIONER: provisioner, LEGACY_PROVISIONER: provisioner}
        patch = {"metadata": {"annotations": annotations}}
        await env.client.patch(CLAIMS, name_of(claim), patch, namespace=namespace_of(claim))
    message = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' "
        "or manually by the system administrator. If volume creation is delayed, please verify "
        "that the provisioner is running and correctly registered."
    )
    env.events.emit(claim, "Normal", "ExternalProvisioning", message)


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
