"""Let a VolumeAttributesClass go only when no claim or volume names it any more.

Reads: VolumeAttributesClass, PersistentVolumeClaim, PersistentVolume.
Writes: finalizers of VolumeAttributesClass.
Invariant: the finalizer goes only while nothing that was seen names the class.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sagong.api.meta import deep_copy, finalizers_of, is_deleting
from sagong.api.types import Key, Obj
from sagong.api.volumes import CLAIMS, VOLUMES
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

RESOURCE = "volumeattributesclasses.storage.k8s.io"
FINALIZER = "kubernetes.io/vac-protection"


def _named(obj: Obj) -> list[str]:
    """The classes that a claim or volume names: the wanted, the present and the coming one."""
    status = obj.get("status") or {}
    names = (
        obj["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return [name for name in dict.fromkeys(names) if name]


def _wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """Only classes that lose a user may go."""
    after = _named(new) if new else ()
    return [Key("", name) for name in (_named(old) if old else ()) if name not in after]


CONTROLLER = Controller(
    name="volumeattributesclass-protection",
    reconciles=RESOURCE,
    watches=(
        Watch(CLAIMS, _wakes, indexes={"attributes": _named}),
        Watch(VOLUMES, _wakes, indexes={"attributes": _named}),
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    attributes: Obj
    used: bool


def observe(key: Key, cache: Cache) -> Seen | None:
    attributes = cache.get(RESOURCE, "", key.name)
    if attributes is None:
        return None
    used = any(any(cache.with_index(r, "attributes", key.name)) for r in (CLAIMS, VOLUMES))
    return Seen(attributes, used)


def plan(seen: Seen) -> list[str] | None:
    """The finalizers that the class should have; None if it has them."""
    current = finalizers_of(seen.attributes)
    if not is_deleting(seen.attributes):
        return None if FINALIZER in current else [*current, FINALIZER]
    if FINALIZER not in current or seen.used:
        return None
    return [f for f in current if f != FINALIZER]


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    finalizers = plan(seen) if seen else None
    if seen is None or finalizers is None:
        return DONE
    changed = deep_copy(seen.attributes)
    changed["metadata"]["finalizers"] = finalizers
    await env.client.update(RESOURCE, changed)
    return DONE
