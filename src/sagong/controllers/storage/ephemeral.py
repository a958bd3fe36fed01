"""Make the claims of pods' generic ephemeral volumes.

Reads: Pod, PersistentVolumeClaim.  Writes: PersistentVolumeClaim (create).
Invariant: a claim of the same name that is not the pod's own is left alone; the pod then waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sagong.api.errors import AlreadyExists
from sagong.api.meta import (
    controller_uid,
    is_deleting,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from sagong.api.types import Key, Obj
from sagong.api.volumes import CLAIMS
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, owned


def _names(pod: Obj) -> dict[str, Obj]:
    """The pod's ephemeral volumes by the names of their claims."""
    return {
        f"{name_of(pod)}-{volume['name']}": volume
        for volume in pod["spec"].get("volumes") or ()
        if volume.get("ephemeral")
    }


CONTROLLER = Controller(
    name="ephemeral-volume",
    reconciles="pods",
    watches=(owned(CLAIMS, "Pod"),),
    concerns=lambda pod, _: bool(_names(pod)),
)


@dataclass(frozen=True, slots=True)
class Seen:
    pod: Obj
    claims: frozenset[str]  # names that are taken in the pod's namespace
    foreign: Sequence[str] = ()  # of those the pod needs, the ones that are not its own


def observe(key: Key, cache: Cache) -> Seen | None:
    pod = cache.get("pods", key.namespace, key.name)
    if pod is None or is_deleting(pod):
        return None
    names = _names(pod)
    if not names:
        return None
    found = {name: cache.get(CLAIMS, key.namespace, name) for name in names}
    there = {name: claim for name, claim in found.items() if claim is not None}
    foreign = [name for name, claim in there.items() if controller_uid(claim) != uid_of(pod)]
    return Seen(pod, frozenset(there), foreign)


def plan(seen: Seen) -> list[Obj]:
    """The claims to create."""
    return [
        _claim(seen.pod, name, volume["ephemeral"]["volumeClaimTemplate"])
        for name, volume in _names(seen.pod).items()
        if name not in seen.claims
    ]


def _claim(pod: Obj, name: str, template: Obj) -> Obj:
    given = template.get("metadata") or {}
    metadata = {part: given[part] for part in ("annotations", "labels") if given.get(part)}
    metadata |= {
        "name": name,
        "namespace": namespace_of(pod),
        "ownerReferences": [owner_reference(pod)],
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template["spec"],
    }


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    for name in seen.foreign:
        message = f"PVC {key.namespace}/{name} was not created for pod {key} (pod is not owner)"
        env.events.emit(seen.pod, "Warning", "FailedBinding", message)
    for claim in plan(seen):
        try:
            await env.client.create(CLAIMS, claim)
        except AlreadyExists:
            continue
    return DONE
