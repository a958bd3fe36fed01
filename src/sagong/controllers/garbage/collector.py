"""Delete what nobody owns any more; carry out foreground and orphaning deletions.

Reads: every resource that can be listed, watched and deleted.
Writes: deletes dependents; ownerReferences; the finalizers foregroundDeletion and orphan.
Invariant: an object is deleted only after the server itself, not just the cache, has said that
none of its owners exists, and only if it is still the very object that was judged (its uid).
Semantics: upstream's ``pkg/controller/garbagecollector``.
"""

import asyncio
import logging

from sagong.api.errors import ApiError, Conflict, Invalid, NotFound
from sagong.api.meta import (
    finalizers_of,
    is_deleting,
    name_of,
    namespace_of,
    owner_references_of,
    uid_of,
)
from sagong.api.types import Obj, Resource
from sagong.client.client import Client
from sagong.controllers.garbage.graph import (
    FOREGROUND,
    ORPHAN,
    Graph,
    Item,
    item_of,
    orphans_dependents,
    waits_for_dependents,
)
from sagong.controllers.garbage.plan import Owner, Step, Verdict, blocks, judge
from sagong.core.clock import Clock
from sagong.core.tasks import task_group
from sagong.ctl.indexed import Handler
from sagong.ctl.informer import SharedCache
from sagong.ctl.metrics import QueueMetrics
from sagong.ctl.queue import WorkQueue

log = logging.getLogger(__name__)

NAME = "garbage-collector"
WORKERS = 20  # upstream's --concurrent-gc-syncs
RESOURCES_SECONDS = 1.0  # how soon a new custom resource is collected too
UNKNOWN_SECONDS = 30.0  # after which an owner of a kind that is not served is looked for again
_NEEDED_VERBS = {"list", "watch", "delete"}
# Never collected, and too busy to be worth watching for it (upstream ignores events as well).
_IGNORED = {"events", "events.events.k8s.io"}


class GarbageCollector:
    """Not of the controllers' common shape: it reconciles every resource, not one."""

    def __init__(
        self, client: Client, cache: SharedCache, clock: Clock, metrics: QueueMetrics
    ) -> None:
        self._client = client
        self._cache = cache
        self._graph = Graph()
        self._handlers: dict[str, Handler] = {}
        self._queue: WorkQueue[Item] = WorkQueue(NAME, clock, metrics)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with task_group() as tasks:
                self._watch_new_resources()
                await self._cache.wait_synced(list(self._handlers))
                for number in range(WORKERS):
                    tasks.start(self._work(), name=f"{NAME} worker {number}")
                while True:
                    version = self._client.resources.version
                    while version == self._client.resources.version:  # noqa: ASYNC110
                        await asyncio.sleep(RESOURCES_SECONDS)
                    self._watch_new_resources()
        finally:
            self._queue.close()
            for resource, handler in self._handlers.items():
                if self._cache.declared(resource):
                    self._cache.remove_handler(resource, handler)

    def _watch_new_resources(self) -> None:
        served = {r.name: r for r in self._client.resources if set(r.verbs) >= _NEEDED_VERBS}
        for name in [n for n in served if n not in self._handlers and n not in _IGNORED]:
            self._cache.declare(name)
            handler = self._handler(name)
            self._handlers[name] = handler
            self._cache.on_change(name, handler)
        for name in [n for n in self._handlers if n not in served]:
            del self._handlers[name]
            self._cache.drop(name)  # its definition is gone, and its objects with it

    def _handler(self, resource: str) -> Handler:
        def changed(old: Obj | None, new: Obj | None) -> None:
            for item in self._graph.change(resource, old, new):
                self._queue.add(item)

        return changed

    async def _work(self) -> None:
        while True:
            item = await self._queue.wait_next()
            try:
                await self._process(item)
            except (Conflict, NotFound):
                self._queue.retry(item)
            except ApiError as error:
                log.warning("%s: %s", item, error)
                self._queue.retry(item)
            except Exception:  # supervised border: one item's failure is retried
                log.exception("%s: collecting %s failed", NAME, item)
                self._queue.retry(item)
            else:
                self._queue.forget(item)
            finally:
                self._queue.done(item)

    async def _process(self, item: Item) -> None:
        found = self._find(item)
        if found is None:
            return
        resource, obj = found
        item = item_of(resource.name, obj)
        if orphans_dependents(obj):
            await self._orphan(resource, obj)
            return
        if waits_for_dependents(obj):
            await self._advance_foreground(resource, obj)
            return
        if is_deleting(obj):
            return
        await self._collect(resource, obj)

    def _find(self, item: Item) -> tuple[Resource, Obj] | None:
        """The object of an item, if the cache still has it; owners are known by kind only."""
        resource = self._client.resources.named(item.resource)
        if resource is None:
            api_version, _, kind = item.resource.rpartition("/")
            resource = self._client.resources.of_kind(api_version, kind)
        if resource is None or not self._cache.declared(resource.name):
            return None
        namespace = item.namespace if resource.namespaced else ""
        obj = self._cache.get(resource.name, namespace, item.name)
        return (resource, obj) if obj is not None and uid_of(obj) == item.uid else None

    async def _collect(self, resource: Resource, obj: Obj) -> None:
        owners = {
            ref["uid"]: await self._state_of(ref, namespace_of(obj))
            for ref in owner_references_of(obj)
        }
        dependents = any(self._graph.dependents(uid_of(obj)))
        verdict = judge(obj, owners, has_dependents=dependents)
        if verdict.step is Step.DROP_REFERENCES:
            await self._drop_references(resource, obj, verdict)
        elif verdict.step is Step.UNKNOWN:
            self._queue.add_after(item_of(resource.name, obj), UNKNOWN_SECONDS)
        elif verdict.step is Step.DELETE:
            if verdict.policy == "Foreground":
                obj = await self._break_circle(resource, obj)
            log.info("deleting %s, its owners are gone", item_of(resource.name, obj))
            await self._client.delete(
                resource.name,
                name_of(obj),
                namespace=namespace_of(obj) or None,
                uid=uid_of(obj),
                # Whoever changed it since may have given it another owner.
                resource_version=obj["metadata"]["resourceVersion"],
                propagation_policy=verdict.policy,
            )

    async def _break_circle(self, resource: Resource, obj: Obj) -> Obj:
        """If dependents wait for theirs too, they may wait for us: then block no owner."""
        found = [self._find(item) for item in self._graph.dependents(uid_of(obj))]
        if not any(entry and waits_for_dependents(entry[1]) for entry in found):
            return obj
        references = [
            {**ref, "blockOwnerDeletion": False} if ref.get("blockOwnerDeletion") else ref
            for ref in owner_references_of(obj)
        ]
        if references == owner_references_of(obj):
            return obj
        patch = {"metadata": {"uid": uid_of(obj), "ownerReferences": references}}
        return await self._client.patch(
            resource.name, name_of(obj), patch, namespace=namespace_of(obj) or None
        )

    async def _state_of(self, reference: Obj, namespace: str) -> Owner:
        resource = self._client.resources.of_kind(reference["apiVersion"], reference["kind"])
        if resource is None:
            return Owner.UNKNOWN
        if resource.namespaced and not namespace:
            # Of a cluster-scoped object no owner can be in a namespace: such a reference cannot
            # be looked up, so nothing follows from it.
            return Owner.UNRESOLVABLE
        where = namespace if resource.namespaced else ""
        owner = None
        if self._cache.declared(resource.name):
            owner = self._cache.get(resource.name, where, reference["name"])
        if owner is None or uid_of(owner) != reference["uid"]:
            try:
                owner = await self._client.get(
                    resource.name, reference["name"], namespace=where or None
                )
            except NotFound:
                return Owner.ABSENT
        if uid_of(owner) != reference["uid"]:
            return Owner.ABSENT
        return Owner.WAITING if waits_for_dependents(owner) else Owner.SOLID

    async def _drop_references(self, resource: Resource, obj: Obj, verdict: Verdict) -> None:
        patch = {
            "metadata": {
                "uid": uid_of(obj),
                "resourceVersion": obj["metadata"]["resourceVersion"],
                "ownerReferences": list(verdict.references),
            }
        }
        await self._client.patch(
            resource.name, name_of(obj), patch, namespace=namespace_of(obj) or None
        )

    async def _advance_foreground(self, resource: Resource, obj: Obj) -> None:
        """Delete the dependents of an object that waits for them; let it go after the last."""
        uid = uid_of(obj)
        blocking = False
        for item in self._graph.dependents(uid):
            found = self._find(item)
            if found is None:
                continue
            if blocks(found[1], uid):
                blocking = True
            if not is_deleting(found[1]):
                self._queue.add(item)
        if not blocking:
            await self._remove_finalizer(resource, obj, FOREGROUND)

    async def _orphan(self, resource: Resource, obj: Obj) -> None:
        """Take the references to the object off its dependents, then let it go."""
        uid = uid_of(obj)
        for item in self._graph.dependents(uid):
            found = self._find(item)
            if found is None:
                continue
            dependent_resource, dependent = found
            kept = [r for r in owner_references_of(dependent) if r["uid"] != uid]
            try:
                await self._drop_references(
                    dependent_resource, dependent, Verdict(Step.DROP_REFERENCES, references=kept)
                )
            except (NotFound, Invalid):
                continue
        await self._remove_finalizer(resource, obj, ORPHAN)

    async def _remove_finalizer(self, resource: Resource, obj: Obj, finalizer: str) -> None:
        patch = {
            "metadata": {
                "resourceVersion": obj["metadata"]["resourceVersion"],
                "finalizers": [f for f in finalizers_of(obj) if f != finalizer],
            }
        }
        await self._client.patch(
            resource.name, name_of(obj), patch, namespace=namespace_of(obj) or None
        )
