"""Publish the service CA as ConfigMap ``openshift-service-ca.crt`` in every namespace.

Reads: Namespace, ConfigMap.  Writes: ConfigMap (create, update).
Invariant: every namespace that takes pods has what their token volume mounts.

The recorded genuine servers mount this ConfigMap beside ``kube-root-ca.crt`` into every pod, so it
has to be there or no pod starts. We have no CA for services of its own: it is the cluster's.
"""

from dataclasses import dataclass

from sagong.api.errors import AlreadyExists
from sagong.api.meta import deep_copy, name_of
from sagong.api.types import Key, Obj
from sagong.controllers.core.phase import is_active
from sagong.controllers.core.wakes import namespace_of_object
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

NAME = "openshift-service-ca.crt"
_KEY = "service-ca.crt"


def _wakes(old: Obj | None, new: Obj | None, cache: Cache) -> list[Key]:
    obj = new or old
    return list(namespace_of_object(old, new, cache)) if obj and name_of(obj) == NAME else []


CONTROLLER = Controller(
    name="service-ca-cert-publisher",
    reconciles="namespaces",
    watches=(Watch("configmaps", _wakes),),
    workers=5,
)


@dataclass(frozen=True, slots=True)
class Seen:
    active: bool
    published: Obj | None


def observe(key: Key, cache: Cache) -> Seen | None:
    namespace = cache.get("namespaces", "", key.name)
    if namespace is None:
        return None
    return Seen(is_active(namespace), cache.get("configmaps", key.name, NAME))


def plan(seen: Seen, certificate: str, namespace: str) -> Obj | None:
    """The ConfigMap to create or to update to; None if there is nothing to do."""
    data = {_KEY: certificate}
    if not seen.active:
        return None
    if seen.published is None:
        metadata = {"name": NAME, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    if seen.published.get("data") == data:
        return None
    changed: Obj = deep_copy(seen.published)
    return changed | {"data": data}


def reconciler(certificate: str) -> Reconcile:
    """Reconcile with this certificate (PEM)."""

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        wanted = plan(seen, certificate, key.name) if seen else None
        if seen is None or wanted is None:
            return DONE
        if seen.published is not None:
            await env.client.update("configmaps", wanted)
            return DONE
        try:
            await env.client.create("configmaps", wanted)
        except AlreadyExists:
            return DONE
        return DONE

    return reconcile
