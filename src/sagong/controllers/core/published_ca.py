"""Keeping a CA certificate in a ConfigMap of every active namespace: what both publishers share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sagong.api.errors import AlreadyExists
from sagong.api.meta import annotations_of, deep_copy, name_of
from sagong.api.types import Key, Obj
from sagong.controllers.core.phase import is_active
from sagong.controllers.core.wakes import namespace_of_object
from sagong.ctl.controller import DONE, Cache, Controller, Env, Reconcile, Result, Watch

CONFIG_MAPS = "configmaps"


@dataclass(frozen=True, slots=True)
class Publication:
    """Which ConfigMap holds the certificate, under which key, with which annotations."""

    name: str
    key: str
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    active: bool
    published: Obj | None


def publisher(name: str, publication: Publication) -> Controller:
    """The declaration of a controller that keeps a publication."""

    def wakes(old: Obj | None, new: Obj | None, cache: Cache) -> list[Key]:
        obj = new or old
        if obj is None or name_of(obj) != publication.name:
            return []
        return list(namespace_of_object(old, new, cache))

    return Controller(
        name=name, reconciles="namespaces", watches=(Watch(CONFIG_MAPS, wakes),), workers=5
    )


def observe(key: Key, cache: Cache, publication: Publication) -> Seen | None:
    namespace = cache.get("namespaces", "", key.name)
    if namespace is None:
        return None
    return Seen(is_active(namespace), cache.get(CONFIG_MAPS, key.name, publication.name))


def plan(seen: Seen, publication: Publication, certificate: str, namespace: str) -> Obj | None:
    """The ConfigMap to create or to update to; None if there is nothing to do.

    Annotations are added where they are missing; what somebody made of one is left.
    """
    data = {publication.key: certificate}
    if not seen.active:
        return None
    if seen.published is None:
        metadata: Obj = {"name": publication.name, "namespace": namespace}
        if publication.annotations:
            metadata["annotations"] = dict(publication.annotations)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    described = publication.annotations.keys() <= annotations_of(seen.published).keys()
    if seen.published.get("data") == data and described:
        return None
    changed: Obj = deep_copy(seen.published) | {"data": data}
    if publication.annotations:
        annotations = {**annotations_of(changed), **publication.annotations}
        changed["metadata"]["annotations"] = annotations
    return changed


def reconciler(publication: Publication, certificate: str) -> Reconcile:
    """Reconcile with this certificate (PEM)."""

    async def reconcile(key: Key, env: Env) -> Result:
        seen = observe(key, env.cache, publication)
        wanted = plan(seen, publication, certificate, key.name) if seen else None
        if seen is None or wanted is None:
            return DONE
        if seen.published is not None:
            await env.client.update(CONFIG_MAPS, wanted)
            return DONE
        try:
            await env.client.create(CONFIG_MAPS, wanted)
        except AlreadyExists:
            return DONE
        return DONE

    return reconcile
