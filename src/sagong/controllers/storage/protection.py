"""Let claims and volumes go only when nothing uses them any more.

Reads: PersistentVolumeClaim, PersistentVolume, Pod.
Writes: finalizers of PersistentVolumeClaim and PersistentVolume.
Invariant: the finalizer of a claim goes only when no pod that has not ended names it, at the
server too and not just in the cache.
"""

from collections.abc import Iterable

from sagong.api.errors import NotFound
from sagong.api.meta import deep_copy, finalizers_of, is_deleting, name_of, namespace_of
from sagong.api.types import Key, Obj
from sagong.controllers.storage.volumes import CLAIMS, VOLUMES, claim_key, phase_of
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


def claims_of_pod(pod: Obj) -> list[str]:
    """The claims a pod names, its generic ephemeral volumes' among them."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            found.append(f"{name_of(pod)}-{volume['name']}")
    return found


def _uses(pod: Obj) -> list[str]:
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return [] if ended else [f"{namespace_of(pod)}/{c}" for c in claims_of_pod(pod)]


def _pod_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    pod = new or old
    return [Key(namespace_of(pod), c) for c in claims_of_pod(pod)] if pod else []


CLAIM_CONTROLLER = Controller(
    name="pvc-protection",
    reconciles=CLAIMS,
    watches=(Watch("pods", _pod_wakes, indexes={"claim": _uses}),),
)
VOLUME_CONTROLLER = Controller(
    name="pv-protection",
    reconciles=VOLUMES,
    watches=(Watch(CLAIMS, lambda old, new, cache: _volumes_of_claim(old, new)),),
)


def _volumes_of_claim(old: Obj | None, new: Obj | None) -> Iterable[Key]:
    claim = new or old
    name = claim["spec"].get("volumeName") if claim else None
    return [Key("", name)] if name else []


async def reconcile_claim(key: Key, env: Env) -> Result:
    claim = env.cache.get(CLAIMS, key.namespace, key.name)
    if claim is None or not is_deleting(claim) or CLAIM_FINALIZER not in finalizers_of(claim):
        return DONE
    if any(env.cache.with_index("pods", "claim", str(key))):
        return DONE
    # A pod that the cache has not seen yet may just have been admitted.
    pods = await env.client.list("pods", namespace=key.namespace)
    if any(str(key) in _uses(item.obj) for item in pods.items):
        return DONE
    await _remove_finalizer(CLAIMS, claim, CLAIM_FINALIZER, env)
    return DONE


async def reconcile_volume(key: Key, env: Env) -> Result:
    volume = env.cache.get(VOLUMES, "", key.name)
    if volume is None or not is_deleting(volume) or VOLUME_FINALIZER not in finalizers_of(volume):
        return DONE
    wanted = claim_key(volume)
    if phase_of(volume) == "Bound" and wanted is not None:
        claim = env.cache.get(CLAIMS, wanted.namespace, wanted.name)
        if claim is not None:
            return DONE
    await _remove_finalizer(VOLUMES, volume, VOLUME_FINALIZER, env)
    return DONE


async def _remove_finalizer(resource: str, obj: Obj, finalizer: str, env: Env) -> None:
    changed = deep_copy(obj)
    changed["metadata"]["finalizers"] = [f for f in finalizers_of(obj) if f != finalizer]
    try:
        await env.client.update(resource, changed)
    except NotFound:
        return
