"""Serves what custom resource definitions define, from the moment they are established.

The watch cache tells of each change synchronously, so a definition is served before the write that
established it is acknowledged. What needs writing (names, conditions, the removal of objects whose
definition goes) is done behind, one definition at a time.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace

from sagong.api import errors
from sagong.api.call import Call, Options, Verb
from sagong.api.meta import deep_copy
from sagong.api.resources import ResourceTable
from sagong.api.schema import Schemas
from sagong.api.tables.column import Printer
from sagong.api.types import Obj, Resource
from sagong.client.client import Client
from sagong.client.in_process import InProcess
from sagong.core.clock import Clock, format_time
from sagong.server.api_services import ensure_api_services
from sagong.server.bootstrap.reconcile import SERVER_USER
from sagong.server.cache import Change, ResourceCache
from sagong.server.caches import Caches
from sagong.server.custom_resources.names import FINALIZER, merged, plan_status, terminating
from sagong.server.custom_resources.openapi import definition_name
from sagong.server.custom_resources.scaling import CustomScale
from sagong.server.custom_resources.versions import CustomVersion, is_established, versions_of
from sagong.server.handlers import Handler, Storage
from sagong.server.registry.served import Converter, Served
from sagong.store.errors import StoreError

log = logging.getLogger(__name__)

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
# Until objects that wait for their finalizers are looked at again, and failed steps tried again.
RETRY_SECONDS = 1.0
# After the cache has lost its store: what it shows then is complete again.
RESYNC_SECONDS = 2.0


@dataclass(slots=True)
class Serving:
    """What is told of every custom resource that comes or goes."""

    table: ResourceTable
    caches: Caches
    schemas: Schemas
    handlers: MutableMapping[tuple[str, str], Handler]
    add: Callable[[Served], None]
    remove: Callable[[Resource], None]
    # Who converts the objects of a definition; None if its versions differ in name only.
    converter: Callable[[Obj], Converter | None]


@dataclass(slots=True)
class _Definition:
    """What is served for a definition, and for which state of it."""

    basis: object
    versions: list[CustomVersion] = field(default_factory=list)


class CustomResources:
    """See the module's docstring. A watcher of the cache of definitions."""

    def __init__(self, serving: Serving, clock: Clock) -> None:
        self._serving = serving
        self._clock = clock
        self._definitions: dict[str, _Definition] = {}
        self._by_resource: dict[Resource, CustomVersion] = {}
        self._waiting: dict[str, None] = {}  # names in order of arrival
        self._wakeup = asyncio.Event()
        resource = serving.table.named(DEFINITIONS)
        assert resource is not None, "definitions are built in"
        self._resource = resource
        self._cache: ResourceCache = serving.caches.of(resource)
        scale = CustomScale(self._scale_of, serving.schemas.of("autoscaling", "v1", "Scale"))
        self._scale: Handler = scale.handle

    # What others ask

    def printer_of(self, resource: Resource) -> Printer | None:
        """The columns of a custom resource; None for other resources."""
        version = self._by_resource.get(resource)
        return version.printer if version else None

    def definitions(self) -> dict[str, Obj]:
        """The OpenAPI definitions of everything custom."""
        return {
            name: definition
            for version in self._by_resource.values()
            for name, definition in version.definitions.items()
        }

    def definition_name(self, group: str, version: str, kind: str) -> str | None:
        """Under which name a kind is published, if it is custom."""
        name = definition_name(group, version, kind)
        known = any(name in version.definitions for version in self._by_resource.values())
        return name if known else None

    def _scale_of(self, resource: Resource) -> Obj | None:
        version = self._by_resource.get(resource)
        return dict(version.scale) if version and version.scale else None

    # Told by the cache

    def load(self) -> int:
        """Serve what the cache holds of definitions; how many are served."""
        names = set()
        for item in self._cache.items()[0]:
            names.add(item.encoded.obj["metadata"]["name"])
            self._take(item.encoded.obj)
        for name in [n for n in self._definitions if n not in names]:
            self._stop(name)
        return len(self._by_resource)

    def on_change(self, change: Change) -> None:
        if change.after is None:
            self._stop(change.path)
            self._wake_all()
            return
        self._take(change.after.encoded.obj)
        self._wake(change.path)

    def on_lost(self) -> None:
        """The cache begins again from a listing, of whose changes nobody is told."""
        asyncio.get_running_loop().call_later(RESYNC_SECONDS, self._resync)

    def _resync(self) -> None:
        self.load()
        self._wake_all()

    def _take(self, definition: Obj) -> None:
        """Serve a definition as it now is."""
        name = definition["metadata"]["name"]
        if not is_established(definition):
            self._stop(name)
            return
        deleting = bool(definition["metadata"].get("deletionTimestamp"))
        basis = (definition["spec"], definition["status"].get("acceptedNames"), deleting)
        known = self._definitions.get(name)
        if known is not None and known.basis == basis:
            return
        converter = self._serving.converter(definition)
        versions = versions_of(definition, self._serving.schemas, converter)
        self._replace(name, versions)
        self._definitions[name] = _Definition(basis, versions)

    def _stop(self, name: str) -> None:
        if name not in self._definitions:
            return
        self._replace(name, [])
        del self._definitions[name]

    def _replace(self, name: str, versions: list[CustomVersion]) -> None:
        """Serve these versions in place of those served before for the definition."""
        serving = self._serving
        known = self._definitions.get(name)
        for old in known.versions if known else ():
            serving.table.remove(old.resource)
            serving.remove(old.resource)
            serving.handlers.pop((old.resource.name, "scale"), None)
            self._by_resource.pop(old.resource, None)
            if not versions:
                self._end_watches(old.resource)
        for version in versions:
            resource = version.resource
            # Kept for good: objects that outlive their definition are there when it comes back.
            serving.caches.add(resource)
            serving.add(version.served)
            self._by_resource[resource] = version
            if version.scale is not None:
                serving.handlers[resource.name, "scale"] = self._scale
            serving.table.add(resource)

    def _end_watches(self, resource: Resource) -> None:
        cache = self._serving.caches.named(resource.name)
        for watcher in cache.all_watchers() if cache is not None else ():
            watcher.on_lost()

    # Writing

    def _wake(self, name: str) -> None:
        self._waiting[name] = None
        self._wakeup.set()

    def _wake_all(self) -> None:
        for item in self._cache.items()[0]:
            self._waiting[item.path] = None
        self._wakeup.set()

    async def run(self, storage: Storage) -> None:
        """Accept names and remove objects of deleted definitions, until cancelled."""
        client = Client(InProcess(storage.execute, SERVER_USER), self._serving.table)
        version = -1
        self._cache.add_watcher("", self)
        try:
            self._wake_all()
            while True:
                await self._wakeup.wait()
                self._wakeup.clear()
                while self._waiting:
                    name = next(iter(self._waiting))
                    del self._waiting[name]
                    await self._step(name, storage)
                if self._by_resource and version != self._serving.table.version:
                    version = self._serving.table.version
                    await self._name_groups(client)
        finally:
            self._cache.remove_watcher("", self)

    async def _name_groups(self, client: Client) -> None:
        try:
            await ensure_api_services(client)
        except (errors.ApiError, StoreError) as error:
            log.warning("API services are not up to date: %s", error)

    async def _step(self, name: str, storage: Storage) -> None:
        item = self._cache.get(name)
        if item is None:
            return
        try:
            if item.encoded.obj["metadata"].get("deletionTimestamp"):
                await self._finish(item.encoded.obj, storage)
            else:
                await self._accept(item.encoded.obj, storage)
        except errors.NotFound:
            return  # deleted in the meantime
        except (errors.ApiError, StoreError) as error:
            log.warning("definition %s: %s", name, error)
            self._retry(name)
        except Exception:  # supervised border: one odd definition must not stop all
            log.exception("definition %s could not be dealt with", name)
            self._retry(name)

    def _retry(self, name: str) -> None:
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._wake, name)

    async def _accept(self, definition: Obj, storage: Storage) -> None:
        """Say whether the names are free; the first definition to have them keeps them."""
        others = [i.encoded.obj for i in self._cache.items()[0]]
        name = definition["metadata"]["name"]
        others = [other for other in others if other["metadata"]["name"] != name]
        now = format_time(self._clock.now())
        if plan_status(definition, others, now=now) is None:
            return

        def change(current: Obj) -> Obj:
            status = plan_status(current, others, now=now)
            return {**current, "status": status} if status else current

        await storage.modify(self._call(name), SERVER_USER, change, subresource="status")

    async def _finish(self, definition: Obj, storage: Storage) -> None:
        """Delete the objects of a definition that goes; let it go after the last."""
        if FINALIZER not in (definition["metadata"].get("finalizers") or ()):
            return
        name = definition["metadata"]["name"]
        left = await self._delete_objects(name, storage)
        if left:
            message = f"could not confirm zero CustomResources remaining: {left} remaining"
            state = terminating("InstanceDeletionInProgress", message)
            await self._report(name, storage, state)
            self._retry(name)
            return
        state = terminating("InstanceDeletionCompleted", "removed all instances", holds=False)
        await self._report(name, storage, state)

        def let_go(current: Obj) -> Obj:
            metadata = current["metadata"]
            kept = [f for f in metadata.get("finalizers") or () if f != FINALIZER]
            return {**current, "metadata": {**metadata, "finalizers": kept}}

        await storage.modify(self._call(name), SERVER_USER, let_go, subresource="")

    async def _report(self, name: str, storage: Storage, state: Obj) -> None:
        now = format_time(self._clock.now())

        def change(current: Obj) -> Obj:
            changed: Obj = deep_copy(current)
            status = changed.setdefault("status", {})
            status["conditions"] = merged(status.get("conditions") or (), [state], now=now)
            return changed

        await storage.modify(self._call(name), SERVER_USER, change, subresource="status")

    async def _delete_objects(self, name: str, storage: Storage) -> int:
        """Ask for the deletion of every object; how many are left."""
        known = self._definitions.get(name)
        if known is None or not known.versions:
            return 0
        # As they are stored, so that no webhook that has gone can keep them.
        stored = (v.resource for v in known.versions if v.resource == v.served.storage)
        resource = next(stored, known.versions[-1].resource)
        cache = self._serving.caches.of(resource)
        options = Options(propagation_policy="Background")
        for item in cache.items()[0]:
            metadata = item.encoded.obj["metadata"]
            if metadata.get("deletionTimestamp"):
                continue
            call = Call(
                Verb.DELETE,
                resource,
                namespace=metadata.get("namespace"),
                name=metadata["name"],
                options=options,
            )
            try:
                await storage.execute(call, SERVER_USER)
            except errors.NotFound:
                continue
        return len(cache)

    def _call(self, name: str) -> Call:
        call = Call(Verb.UPDATE, self._resource, name=name, user_agent="sagong")
        return replace(call, options=Options(field_manager="sagong"))
