"""Let a volume attributes class go only when no claim or volume names it any more.

Reads: VolumeAttributesClass, PersistentVolumeClaim, PersistentVolume.
Writes: finalizers of VolumeAttributesClass.
Semantics: upstream's ``pkg/controller/storage/vacprotection``.
"""

from collections.abc import Iterable

from sagong.api.errors import NotFound
from sagong.api.meta import deep_copy, finalizers_of, is_deleting
from sagong.api.types import Key, Obj
from sagong.controllers.storage.volumes import CLAIMS, VOLUMES
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

CLASSES = "volumeattributesclasses.storage.k8s.io"
FINALIZER = "kubernetes.io/vac-protection"
_FIELD = "volumeAttributesClassName"


def _names(obj: Obj) -> list[str]:
    """The classes that a claim or volume names: the wanted, the present and the coming one."""
    status = obj.get("status") or {}
    target = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    found = (obj["spec"].get(_FIELD), status.get("currentVolumeAttributesClassName"), target)
    return [name for name in dict.fromkeys(found) if name]


def _wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    return [Key("", name) for obj in (old, new) if obj for name in _names(obj)]


CONTROLLER = Controller(
    name="volumeattributesclass-protection",
    reconciles=CLASSES,
    watches=(
        Watch(CLAIMS, _wakes, indexes={"attributes-class": _names}),
        Watch(VOLUMES, _wakes, indexes={"attributes-class": _names}),
    ),
)


def used(name: str, cache: Cache) -> bool:
    """Whether a claim or volume names the class."""
    return any(
        True
        for resource in (CLAIMS, VOLUMES)
        for _ in cache.with_index(resource, "attributes-class", name)
    )


def plan(finalizers: list[str], *, deleting: bool, used: bool) -> list[str]:
    """The finalizers that the class ought to have."""
    if not deleting:
        return finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
    return finalizers if used else [f for f in finalizers if f != FINALIZER]


async def reconcile(key: Key, env: Env) -> Result:
    found = env.cache.get(CLASSES, "", key.name)
    if found is None:
        return DONE
    have = finalizers_of(found)
    wanted = plan(have, deleting=is_deleting(found), used=used(key.name, env.cache))
    if wanted == have:
        return DONE
    changed = deep_copy(found)
    changed["metadata"]["finalizers"] = wanted
    try:
        await env.client.update(CLASSES, changed)
    except NotFound:
        return DONE
    return DONE
