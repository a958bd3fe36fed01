"""Recount what the objects of a namespace use of its quotas.

Reads: ResourceQuota; lists what the quotas count.  Writes: ResourceQuota.status.
Invariant: status.hard is spec.hard, and status.used has exactly the names that spec.hard has.

Admission charges a quota before an object is stored; this gives back what deleted, ended or
refused objects had been charged, and counts what was there before the quota.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sagong.api.meta import deep_copy, key_of, namespace_of
from sagong.api.quantities import ZERO, Quantity
from sagong.api.resources import ResourceTable
from sagong.api.types import Key, Obj
from sagong.api.usage import add, amounts, limited_by, matches_scopes, usage_of
from sagong.ctl.controller import DONE, Cache, Controller, Env, Mapper, Result, Watch

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


async def reconcile(key: Key, env: Env) -> Result:
    seen = observe(key, env.cache)
    if seen is None:
        return DONE
    names = counted(seen.quota, env.client.resources)
    objects = {name: await _objects(name, key.namespace, env) for name in names}
    changed = plan(seen, objects)
    if changed is not None:
        await env.client.update(RESOURCE, changed, subresource="status")
    return DONE


async def _objects(resource: str, namespace: str, env: Env) -> Sequence[Obj]:
    # Listed live: a cache that lags would give back what has just been charged.
    return [item.obj for item in (await env.client.list(resource, namespace=namespace)).items]
