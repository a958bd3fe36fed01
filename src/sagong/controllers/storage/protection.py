"""Let claims and volumes go only when nothing uses them any more.

Reads: PersistentVolumeClaim, PersistentVolume, Pod.
Writes: finalizers of PersistentVolumeClaim and PersistentVolume.
Invariant: the finalizer of a claim goes only when no scheduled pod names it, at the
server too and not just in the cache.
"""

from collections.abc import Iterable

from sagong.api.errors import NotFound
from sagong.api.meta import deep_copy, finalizers_of, is_deleting, namespace_of
from sagong.api.pods import claims_of
from sagong.api.types import Key, Obj
from sagong.api.volumes import CLAIMS, VOLUMES, phase_of
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


def _uses(pod: Obj) -> list[str]:
    """Claims in use by a pod: from when it is scheduled until it is gone, not just ended.

    Of its ephemeral volumes, only until its deletion has no grace left: the pod may wait, by a
    finalizer of its own, for these very claims to go.
    """
    if not pod["spec"].get("nodeName"):
        return []  # no kubelet starts it with a claim that is being deleted
    shut_down = is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0
    return [f"{namespace_of(pod)}/{c}" for c in claims_of(pod, ephemeral=not shut_down)]


def _pod_wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    pod = new or old
    return [Key(namespace_of(pod), c) for c in claims_of(pod)] if pod else []


CLAIM_CONTROLLER = Controller(
    name="pvc-protection",
    reconciles=CLAIMS,
    watches=(Watch("pods", _pod_wakes, indexes={"claim": _uses}),),
)
VOLUME_CONTROLLER = Controller(name="pv-protection", reconciles=VOLUMES)


async def reconcile_claim(key: Key, env: Env) -> Result:
    claim = env.cache.get(CLAIMS, key.namespace, key.name)
    if claim is None:
        return DONE
    if not is_deleting(claim):
        return await _add_finalizer(CLAIMS, claim, CLAIM_FINALIZER, env)
    if CLAIM_FINALIZER not in finalizers_of(claim):
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
    if volume is None:
        return DONE
    if not is_deleting(volume):
        return await _add_finalizer(VOLUMES, volume, VOLUME_FINALIZER, env)
    if VOLUME_FINALIZER not in finalizers_of(volume) or phase_of(volume) == "Bound":
        return DONE
    await _remove_finalizer(VOLUMES, volume, VOLUME_FINALIZER, env)
    return DONE


async def _add_finalizer(resource: str, obj: Obj, finalizer: str, env: Env) -> Result:
    """What was made while the admission plugin was off is protected late."""
    if finalizer in finalizers_of(obj):
        return DONE
    changed = deep_copy(obj)
    changed["metadata"]["finalizers"] = [*finalizers_of(obj), finalizer]
    await env.client.update(resource, changed)
    return DONE


async def _remove_finalizer(resource: str, obj: Obj, finalizer: str, env: Env) -> None:
    changed = deep_copy(obj)
    changed["metadata"]["finalizers"] = [f for f in finalizers_of(obj) if f != finalizer]
    try:
        await env.client.update(resource, changed)
    except NotFound:
        return
