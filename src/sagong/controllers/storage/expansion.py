"""Expand volumes whose claims ask for more: our own here, others' by their drivers' resizers.

Reads: PersistentVolumeClaim, PersistentVolume.
Writes: PersistentVolume.spec.capacity, PersistentVolumeClaim.status (capacity, conditions,
allocated resources).
Invariant: the volume is written before the claim says that it is larger; a volume never shrinks.

Semantics: upstream's ``pkg/controller/volume/expand`` and, for our own volumes, the external
resizer. They are directories: no file system on the node has to be expanded afterwards.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from sagong.api import quantities
from sagong.api.local_volumes import PROVISIONER as OURS
from sagong.api.meta import annotations_of, deep_copy, is_deleting, name_of
from sagong.api.types import Key, Obj
from sagong.api.volumes import (
    CLAIMS,
    PROVISIONED_BY,
    VOLUMES,
    capacity,
    claim_key,
    is_reserved_for,
    phase_of,
    wanted_bytes,
)
from sagong.core.clock import format_time
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch


def _claim_of(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    key = claim_key(new) if new is not None else None
    return [key] if key is not None else []


CONTROLLER = Controller(
    name="expand",
    reconciles=CLAIMS,
    watches=(Watch(VOLUMES, _claim_of),),
    component="volume_expand",
)


class Step(Enum):
    NOTHING = "nothing"
    EXPAND = "expand the volume"
    TELL = "say that somebody else must"


@dataclass(frozen=True, slots=True)
class Seen:
    claim: Obj
    volume: Obj


def observe(key: Key, cache: Cache) -> Seen | None:
    claim = cache.get(CLAIMS, key.namespace, key.name)
    if claim is None or is_deleting(claim) or phase_of(claim) != "Bound":
        return None
    volume = cache.get(VOLUMES, "", claim["spec"].get("volumeName") or "")
    if volume is None or not is_reserved_for(volume, claim):
        return None
    return Seen(claim, volume)


def plan(seen: Seen) -> Step:
    """What the claim needs whose request is larger than its capacity."""
    if wanted_bytes(seen.claim) <= _capacity(seen.claim):
        return Step.NOTHING
    ours = annotations_of(seen.volume).get(PROVISIONED_BY) == OURS
    return Step.EXPAND if ours else Step.TELL


def _capacity(claim: Obj) -> int:
    text = ((claim.get("status") or {}).get("capacity") or {}).get("storage") or "0"
    return quantities.parse(text).value


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    match plan(seen):
        case Step.EXPAND:
            await _expand(seen, env)
        case Step.TELL:
            text = "waiting for an external controller to expand this PVC"
            env.events.emit(seen.claim, "Normal", "ExternalExpanding", text)
    return DONE


async def _expand(seen: Seen, env: Env) -> None:
    size = seen.claim["spec"]["resources"]["requests"]["storage"]
    claim = await _write(env, resizing(seen.claim, size, format_time(env.clock.now())))
    if capacity(seen.volume) < wanted_bytes(claim):
        volume = deep_copy(seen.volume)
        volume["spec"]["capacity"]["storage"] = size
        await env.client.update(VOLUMES, volume)
    claim = await _write(env, resized(claim, size))
    text = f"ExpandVolume succeeded for volume {claim['metadata']['namespace']}/{name_of(claim)}"
    env.events.emit(claim, "Normal", "VolumeResizeSuccessful", text)


async def _write(env: Env, claim: Obj) -> Obj:
    return await env.client.update(CLAIMS, claim, subresource="status")


def resizing(claim: Obj, size: str, now: str) -> Obj:
    """The claim while its volume is being expanded."""
    status = claim["status"]
    others = [c for c in status.get("conditions") or () if c["type"] != "Resizing"]
    new = {"type": "Resizing", "status": "True", "lastTransitionTime": now}
    states = status.get("allocatedResourceStatuses") or {}
    allocated = status.get("allocatedResources") or {}
    return claim | {
        "status": status
        | {
            "conditions": [*others, new],
            "allocatedResources": {**allocated, "storage": size},
            "allocatedResourceStatuses": {**states, "storage": "ControllerResizeInProgress"},
        }
    }


def resized(claim: Obj, size: str) -> Obj:
    """The claim with its new capacity, and nothing under way."""
    status = dict(claim["status"])
    left = [c for c in status.pop("conditions", None) or () if c["type"] not in _UNDER_WAY]
    states = status.pop("allocatedResourceStatuses", None) or {}
    states = {name: state for name, state in states.items() if name != "storage"}
    if left:
        status["conditions"] = left
    if states:
        status["allocatedResourceStatuses"] = states
    status["capacity"] = {**(status.get("capacity") or {}), "storage": size}
    return claim | {"status": status}


_UNDER_WAY = frozenset({"Resizing", "FileSystemResizePending"})
