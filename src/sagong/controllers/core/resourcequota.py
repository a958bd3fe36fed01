"""Recount what the objects of a namespace use of its quotas.

Reads: ResourceQuota; lists what the quotas count.  Writes: ResourceQuota.status.
Invariant: status.hard is spec.hard, and status.used has exactly the names that spec.hard has.
Nothing is given back while an object may be on its way that has been charged and not yet stored:
the quota must not have been charged for a moment. (Upstream can give back too much, and a quota is
exceeded by one.)

Admission charges a quota before an object is stored; this gives back what deleted, ended or
refused objects had been charged, and counts what was there before the quota.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sagong.api.meta import deep_copy, key_of, namespace_of
from sagong.api.quantities import ZERO, Quantity
from sagong.api.resources import ResourceTable
from sagong.api.types import Key, Obj
from sagong.api.usage import add, amounts, limited_by, matches_scopes, usage_of
from sagong.ctl.controller import (
    DONE,
    Cache,
    Controller,
    Env,
    Mapper,
    Reconcile,
    Result,
    Watch,
    after,
)

RESOURCE = "resourcequotas"
# What is in the cache already, for others' sake; the rest is listed when it is counted.
_WATCHED = (
    "pods",
    "services",
    "persistentvolumeclaims",
    "configmaps",
    "secrets",
    "replicationcontrollers",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
)
_UNCOUNTED = frozenset({"events", "events.events.k8s.io"})
# Far longer than a server takes from the charge to storing the object.
CALM_SECONDS = 0.2
BUSY_SECONDS_MAX = 5.0
RESYNC_SECONDS = 300.0  # upstream's --resource-quota-sync-period: for what is not watched


def _releasing(resource: str) -> Mapper:
    """Wakes the quotas of a namespace when an object is gone or uses something else than before.

    New objects have been charged at admission.
    """

    def wakes(old: Obj | None, new: Obj | None, cache: Cache) -> Iterable[Key]:
        if old is None:
            return []
        quotas = list(cache.list(RESOURCE, namespace_of(old)))
        if not quotas or (new is not None and usage_of(resource, old) == usage_of(resource, new)):
            return []
        return [key_of(quota) for quota in quotas]

    return wakes


CONTROLLER = Controller(
    name="resourcequota",
    reconciles=RESOURCE,
    watches=tuple(Watch(resource, _releasing(resource)) for resource in _WATCHED),
    workers=5,
    resync_seconds=RESYNC_SECONDS,
)


@dataclass(frozen=True, slots=True)
class Seen:
    quota: Obj


def observe(key: Key, cache: Cache) -> Seen | None:
    quota = cache.get(RESOURCE, key.namespace, key.name)
    return None if quota is None else Seen(quota)


def counted(quota: Obj, resources: ResourceTable) -> list[str]:
    """The resources whose objects count against a quota."""
    hard = quota["spec"].get("hard") or {}
    return [
        r.name
        for r in resources
        if r.namespaced
        and "list" in r.verbs
        and r.name not in _UNCOUNTED
        and limited_by(r.name, hard)
    ]


def plan(seen: Seen, objects: Mapping[str, Sequence[Obj]]) -> Obj | None:
    """The quota with the status it should have; None if it has. ``objects`` by resource."""
    quota = seen.quota
    hard = quota["spec"].get("hard") or {}
    status = quota.get("status") or {}
    before = amounts(status.get("used"))
    used = {name: before.get(name, ZERO) for name in hard}
    for resource, found in objects.items():
        total: dict[str, Quantity] = dict.fromkeys(limited_by(resource, hard), ZERO)
        for obj in found:
            if matches_scopes(quota, resource, obj):
                total = add(total, usage_of(resource, obj))
        used |= {name: amount for name, amount in total.items() if name in hard}
    if status.get("hard") == hard and used == before:
        return None
    changed: Obj = deep_copy(quota)
    changed["status"] = {
        **status,
        "hard": dict(hard),
        "used": {name: str(amount) for name, amount in used.items()},
    }
    return changed


@dataclass(slots=True)
class Calm:
    """How long quotas have not been charged, by what recounts saw of them."""

    seen: dict[Key, tuple[str, float, float]] = field(default_factory=dict)

    def wait_seconds(self, key: Key, version: str, now: float) -> float:
        """Until what was counted may be given back; 0: it may."""
        known, since, first = self.seen.get(key, ("", now, now))
        if known != version:
            since = now
        self.seen[key] = (version, since, first)
        # A quota that is charged without a pause is not to stay wrong for ever.
        return max(0.0, min(since + CALM_SECONDS, first + BUSY_SECONDS_MAX) - now)

    def forget(self, key: Key) -> None:
        self.seen.pop(key, None)


def gives_back(old: Obj, new: Obj) -> bool:
    """Whether less is used than the quota says."""
    before = amounts((old.get("status") or {}).get("used"))
    after_ = amounts(new["status"]["used"])
    return any(after_.get(name, ZERO).nano < amount.nano for name, amount in before.items())


def reconciler() -> Reconcile:
    """Reconcile with a memory of which quotas are being charged."""
    calm = Calm()

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            calm.forget(key)
            return DONE
        names = counted(seen.quota, env.client.resources)
        objects = {name: await _objects(name, key.namespace, env) for name in names}
        changed = plan(seen, objects)
        if changed is None:
            calm.forget(key)
            return DONE
        if gives_back(seen.quota, changed):
            version = seen.quota["metadata"]["resourceVersion"]
            left = calm.wait_seconds(key, version, env.clock.monotonic())
            if left > 0:
                return after(left)
        calm.forget(key)
        await env.client.update(RESOURCE, changed, subresource="status")
        return DONE

    return reconcile


async def _objects(resource: str, namespace: str, env: Env) -> Sequence[Obj]:
    # Listed live: a cache that lags would give back what has just been charged.
    return [item.obj for item in (await env.client.list(resource, namespace=namespace)).items]
