"""Take finished pods out of ResourceClaims; free and remove claims that nobody uses any more.

Reads: ResourceClaim, Pod.
Writes: ResourceClaim.status (reservedFor, allocation), its finalizer, ResourceClaim (delete).
Invariant: a pod that the cache does not know is looked at live before it counts as gone: the
scheduler may be about to bind it.

Semantics: upstream's ``pkg/controller/resourceclaim`` (``syncClaim``).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sagong.api.errors import NotFound
from sagong.api.meta import (
    controller_of,
    finalizers_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from sagong.api.types import Key, Obj
from sagong.controllers.resource.claims import CLAIMS, POD_CLAIM, PROTECTION, is_done, told_names
from sagong.ctl.controller import DONE, Cache, Controller, Env, Result, Watch


def _claims_of_pod(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
    """A pod that ends lets go of what it has used."""
    pod = new or old
    if pod is None or (new is not None and not is_done(new)):
        return []
    return [Key(namespace_of(pod), name) for name in told_names(pod).values() if name]


CONTROLLER = Controller(
    name="resource-claim-release",
    reconciles=CLAIMS,
    watches=(Watch("pods", _claims_of_pod),),
    workers=10,
    component="resource_claim",
)


@dataclass(frozen=True, slots=True)
class Seen:
    claim: Obj
    gone: Collection[str]  # uids of consumers that are gone or done
    # The pod that the claim was made for is over; False while that is not known.
    owner_is_over: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    status: Obj | None = None  # to be written
    unprotect: bool = False  # then take the finalizer off
    delete: bool = False


def plan(seen: Seen) -> Plan:
    claim, status = seen.claim, seen.claim.get("status") or {}
    users: Sequence[Obj] = status.get("reservedFor") or ()
    left = [user for user in users if user["uid"] not in seen.gone]
    protected = PROTECTION in finalizers_of(claim)
    freed = not left and protected and (bool(users) or is_deleting(claim))
    changed = {k: v for k, v in status.items() if k != "reservedFor"}
    if left:
        changed["reservedFor"] = left
    if freed:
        changed.pop("allocation", None)
    return Plan(
        status=changed if changed != status else None,
        unprotect=freed,
        delete=not left and seen.owner_is_over and not is_deleting(claim),
    )


async def observe(key: Key, env: Env) -> Seen | None:
    claim = env.cache.get(CLAIMS, key.namespace, key.name)
    if claim is None:
        return None
    gone = set()
    for user in (claim.get("status") or {}).get("reservedFor") or ():
        if user.get("apiGroup") or user.get("resource") != "pods":
            continue  # Of a consumer of another kind only its own controller knows.
        pod = await _pod(Key(key.namespace, user["name"]), env)
        if pod is None or uid_of(pod) != user["uid"] or is_done(pod):
            gone.add(user["uid"])
    return Seen(claim, gone, _owner_is_over(claim, env.cache))


async def _pod(key: Key, env: Env) -> Obj | None:
    cached = env.cache.get("pods", key.namespace, key.name)
    if cached is not None:
        return cached
    try:
        return await env.client.get("pods", key.name, namespace=key.namespace)
    except NotFound:
        return None


def _owner_is_over(claim: Obj, cache: Cache) -> bool:
    """Whether the pod was replaced or is done. One that is gone is the garbage collector's."""
    owner = controller_of(claim)
    if owner is None or owner["kind"] != "Pod":
        return False
    if POD_CLAIM not in (claim["metadata"].get("annotations") or {}):
        return False
    pod = cache.get("pods", namespace_of(claim), owner["name"])
    return pod is not None and (uid_of(pod) != owner["uid"] or is_done(pod))


async def reconcile(key: Key, env: Env) -> Result:
    seen = await observe(key, env)
    if seen is None:
        return DONE
    decided, claim = plan(seen), seen.claim
    if decided.status is not None:
        changed = claim | {"status": decided.status}
        claim = await env.client.update(CLAIMS, changed, subresource="status")
    if decided.unprotect:
        left = [f for f in finalizers_of(claim) if f != PROTECTION]
        changed = claim | {"metadata": claim["metadata"] | {"finalizers": left}}
        claim = await env.client.update(CLAIMS, changed)
    if decided.delete:
        where = key_of(claim)
        try:
            await env.client.delete(
                CLAIMS, name_of(claim), namespace=where.namespace, uid=uid_of(claim)
            )
        except NotFound:
            return DONE
    return DONE
