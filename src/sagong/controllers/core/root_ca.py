"""Publish the cluster's CA certificate as ConfigMap ``kube-root-ca.crt`` in every namespace.

Reads: Namespace, ConfigMap.  Writes: ConfigMap (create, update).
Invariant: the published certificate is the one that this process was given.
"""

from dataclasses import dataclass
from enum import Enum

from sagong.api.errors import AlreadyExists
from sagong.api.meta import deep_copy, name_of
from sagong.api.types import Key, Obj
from sagong.controllers.core.phase import is_active
from sagong.controllers.core.wakes import namespace_of_object
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

NAME = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
_TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


def _wakes(old: Obj | None, new: Obj | None, cache: Cache) -> list[Key]:
    obj = new or old
    return list(namespace_of_object(old, new, cache)) if obj and name_of(obj) == NAME else []


CONTROLLER = Controller(
    name="root-ca-cert-publisher",
    reconciles="namespaces",
    watches=(Watch("configmaps", _wakes),),
    workers=5,
)


class Action(Enum):
    NOTHING = "nothing"
    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class Seen:
    active: bool
    published: Obj | None


def observe(key: Key, cache: Cache) -> Seen | None:
    namespace = cache.get("namespaces", "", key.name)
    if namespace is None:
        return None
    return Seen(is_active(namespace), cache.get("configmaps", key.name, NAME))


def plan(seen: Seen, certificate: str) -> Action:
    if not seen.active:
        return Action.NOTHING
    if seen.published is None:
        return Action.CREATE
    current = seen.published.get("data") == {"ca.crt": certificate}
    described = DESCRIPTION in (seen.published["metadata"].get("annotations") or {})
    return Action.NOTHING if current and described else Action.UPDATE


def reconciler(certificate: str) -> Reconcile:
    """Reconcile with this certificate (PEM)."""

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache)
        if seen is None:
            return DONE
        action = plan(seen, certificate)
        if action is Action.CREATE:
            try:
                await env.client.create("configmaps", _config_map(key.name, certificate))
            except AlreadyExists:
                return DONE
        elif action is Action.UPDATE and seen.published is not None:
            changed = deep_copy(seen.published) | {"data": {"ca.crt": certificate}}
            annotations = changed["metadata"].get("annotations") or {}
            changed["metadata"]["annotations"] = {**annotations, DESCRIPTION: _TEXT}
            await env.client.update("configmaps", changed)
        return DONE

    return reconcile


def _config_map(namespace: str, certificate: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": NAME,
            "namespace": namespace,
            "annotations": {DESCRIPTION: _TEXT},
        },
        "data": {"ca.crt": certificate},
    }
