"""Keep the phase of volumes, and do with released ones what their reclaim policy says.

Reads: PersistentVolume, PersistentVolumeClaim.  Writes: PersistentVolume.status.
Invariant: a volume is Released only when its claim is gone at the server too. Volumes with policy
Delete are removed by their provisioner; those of nobody are marked Failed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.errors import NotFound
from sagong.api.meta import deep_copy, name_of, namespace_of, uid_of
from sagong.api.types import Key, Obj
from sagong.api.volumes import (
    CLAIMS,
    PROVISIONED_BY,
    VOLUMES,
    annotated,
    claim_key,
    phase_of,
)
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch


def _claim_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    names = [obj["spec"].get("volumeName") for obj in (old, new) if obj]
    obj = new or old
    if obj is not None:
        wanted = Key(namespace_of(obj), name_of(obj))
        names += [name_of(v) for v in cache.list(VOLUMES) if claim_key(v) == wanted]
    return [Key("", name) for name in dict.fromkeys(names) if name]


CONTROLLER = Controller(
    name="persistentvolume-reclaimer",
    reconciles=VOLUMES,
    watches=(Watch(CLAIMS, _claim_wakes),),
    component="persistentvolume-controller",
)


@dataclass(frozen=True, slots=True)
class Seen:
    volume: Obj
    claim: Obj | None


def observe(key: Key, cache: Cache) -> Seen | None:
    volume = cache.get(VOLUMES, "", key.name)
    if volume is None:
        return None
    wanted = claim_key(volume)
    claim = cache.get(CLAIMS, wanted.namespace, wanted.name) if wanted else None
    return Seen(volume, claim)


@dataclass(frozen=True, slots=True)
class Outlook:
    """The phase that a volume should have; why, where that is bad news."""

    phase: str
    reason: str = ""
    message: str = ""


_NO_DELETER = (
    'error getting deleter volume plugin for volume "{}": no deletable volume plugin matched'
)
_NO_RECYCLER = "No recycler plugin found for the volume!"


def plan(seen: Seen) -> Outlook:
    volume = seen.volume
    ref = volume["spec"].get("claimRef")
    if ref is None or not ref.get("uid"):
        return Outlook("Available")
    if seen.claim is not None and uid_of(seen.claim) == ref["uid"]:
        # The binder moves it on to Bound together with the claim.
        return Outlook(phase_of(volume) or "Available")
    policy = volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
    if policy == "Delete" and annotated(volume, PROVISIONED_BY) is None:
        return Outlook("Failed", "VolumeFailedDelete", _NO_DELETER.format(name_of(volume)))
    if policy == "Recycle":
        return Outlook("Failed", "VolumeFailedRecycle", _NO_RECYCLER)
    return Outlook("Released")


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    outlook = plan(seen)
    phase = outlook.phase
    if phase == phase_of(seen.volume):
        return DONE
    if phase in ("Released", "Failed") and not await _claim_is_gone(seen.volume, env):
        return DONE
    changed = deep_copy(seen.volume)
    status = changed.setdefault("status", {})
    status["phase"] = phase
    status.pop("message", None)
    if outlook.message:
        status["message"] = outlook.message
        env.events.emit(seen.volume, "Warning", outlook.reason, outlook.message)
    await env.client.update(VOLUMES, changed, subresource="status")
    return DONE


async def _claim_is_gone(volume: Obj, env: Env) -> bool:
    ref = volume["spec"]["claimRef"]
    try:
        claim = await env.client.get(CLAIMS, ref["name"], namespace=ref["namespace"])
    except NotFound:
        return True
    return bool(uid_of(claim) != ref["uid"])
