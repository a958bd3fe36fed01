"""The shared cache: each resource listed once, then watched, for everything in the process.

Semantics are client-go's reflector and shared informer: a watch that ends is resumed from the last
resource version; one that is too old is replaced by a fresh list, whose differences handlers see as
ordinary changes. Objects are references, not copies; in process they are the server's own.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from sagong.api.call import Event, EventType
from sagong.api.errors import ApiError, Gone, from_status
from sagong.api.meta import resource_version_of, uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.ids import Ids
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.controller import Following
from sagong.ctl.indexed import OWNER_UID, Handler, Index, Objects

log = logging.getLogger(__name__)

# client-go's reflector: waits of 0.8 s, doubled to 30 s, jittered to up to twice that.
RETRY_FIRST_SECONDS = 0.8
RETRY_LIMIT_SECONDS = 30.0
# Once somebody has been answered the others try too, each within so long of it.
RESUME_SECONDS = 0.5
# A watch lives 5 to 10 minutes, so that clients spread over servers again.
WATCH_MIN_SECONDS = 300
# How much later than asked for a watch may end. Past it nobody is there: of a machine that lost its
# power a reader is never told.
OVERDUE_SECONDS = 60
# Objects a page where a list comes over the network (client-go's pager).
LIST_PAGE_ITEMS = 500


class SharedCache:
    """Implements ``ctl.controller.Cache``. Resources may be declared before or while it runs."""

    def __init__(self, client: Client, ids: Ids, *, page_items: int = LIST_PAGE_ITEMS) -> None:
        self._client = client
        self._ids = ids
        self._page_items = page_items
        self._resources: dict[str, Objects] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._contact = Contact()
        self._tasks: Tasks | None = None

    def get(self, resource: str, namespace: str, name: str) -> Obj | None:
        return self._resources[resource].get(namespace, name)

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Obj]:
        return self._resources[resource].list(namespace)

    def owned_by(self, resource: str, owner_uid: str) -> Iterable[Obj]:
        return self._resources[resource].with_index(OWNER_UID, owner_uid)

    def with_index(self, resource: str, index: str, value: str) -> Iterable[Obj]:
        return self._resources[resource].with_index(index, value)

    def count(self, resource: str, index: str | None = None, value: str = "") -> int:
        objects = self._resources[resource]
        return len(objects) if index is None else objects.count(index, value)

    def following(self, resource: str) -> Following:
        return self._resources[resource].following

    def declare(self, resource: str, indexes: Mapping[str, Index] | None = None) -> None:
        """Keep a resource in the cache. Raises LookupError for one that is not served."""
        if self._client.resources.named(resource) is None:
            raise LookupError(f"no such resource: {resource}")
        objects = self._resources.get(resource)
        if objects is None:
            objects = self._resources[resource] = Objects()
            if self._tasks is not None:
                self._start(resource, objects, self._tasks)
        for name, index in (indexes or {}).items():
            objects.add_index(name, index)

    def drop(self, resource: str) -> None:
        """Stop keeping a resource (its definition is gone); handlers hear of no deletions."""
        loop = self._loops.pop(resource, None)
        if loop is not None:
            loop.cancel()
        self._resources.pop(resource, None)

    def declared(self, resource: str) -> bool:
        return resource in self._resources

    def on_change(self, resource: str, handler: Handler) -> None:
        """Call ``handler(old, new)`` for every object there is and at every change; never waits."""
        self._resources[resource].add_handler(handler)

    def remove_handler(self, resource: str, handler: Handler) -> None:
        self._resources[resource].remove_handler(handler)

    def note_answered(self) -> None:
        """The server answers others: whoever backs off here need not wait to find out."""
        self._contact.answered()

    def has_synced(self, resource: str) -> bool:
        """Whether the first list has arrived."""
        return self._resources[resource].synced.is_set()

    async def wait_synced(self, resources: Iterable[str] | None = None) -> None:
        """Wait for the first list of the resources (default: all that are declared)."""
        for resource in tuple(self._resources if resources is None else resources):
            await self._resources[resource].synced.wait()

    def revision(self, resource: str) -> int:
        """The newest resource version of the resource that has been seen."""
        return self._resources[resource].revision

    async def wait_revision(self, resource: str, revision: int) -> None:
        """Wait until everything up to a resource version has been seen."""
        objects = self._resources[resource]
        await objects.wait_until(lambda: objects.revision >= revision)

    def is_gone(self, resource: str, namespace: str, name: str, uid: str) -> bool:
        """Whether this very object is no longer seen."""
        obj = self._resources[resource].get(namespace, name)
        return obj is None or uid_of(obj) != uid

    async def wait_gone(self, resource: str, namespace: str, name: str, uid: str) -> None:
        """Wait until this very object is no longer seen."""
        objects = self._resources[resource]
        await objects.wait_until(lambda: self.is_gone(resource, namespace, name, uid))

    async def run(self) -> None:
        """List and watch everything declared, until cancelled."""
        async with task_group() as tasks:
            self._tasks = tasks
            try:
                for resource, objects in tuple(self._resources.items()):
                    self._start(resource, objects, tasks)
                await asyncio.Event().wait()
            finally:
                self._tasks = None
                self._loops.clear()

    def _start(self, resource: str, objects: Objects, tasks: Tasks) -> None:
        reflector = Reflector(
            self._client,
            resource,
            objects,
            self._contact,
            ids=self._ids,
            page_items=self._page_items,
        )
        self._loops[resource] = tasks.start(reflector.run(), name=f"informer {resource}")


class Contact:
    """What those who wait for one server tell each other: that it answers again."""

    def __init__(self) -> None:
        self._again = asyncio.Event()

    def answered(self) -> None:
        self._again.set()
        self._again = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Until somebody is answered, at most so long; whether that was it."""
        try:
            async with asyncio.timeout(seconds):
                await self._again.wait()
        except TimeoutError:
            return False
        return True


class Reflector:
    """Keeps one resource's Objects up to date."""

    def __init__(
        self,
        client: Client,
        resource: str,
        objects: Objects,
        contact: Contact,
        *,
        ids: Ids,
        page_items: int,
    ) -> None:
        self._client = client
        self._resource = resource
        self._objects = objects
        self._contact = contact
        self._ids = ids
        self._page_items = page_items
        self._failures = 0
        # Whether the newest watch was too old, and nothing was heard since.
        self._expired = False
        # Where the next watch starts; None: list first.
        self._position: str | None = None
        # Lists may come from the server's cache, but never from before what was seen.
        self._list_position = "0"

    async def run(self) -> None:
        """Until cancelled; every API failure is retried with back-off."""
        while True:
            try:
                if self._position is None:
                    await self._relist()
                await self._follow()
            except Gone as error:
                self._lost()
                # Too old to watch on: list from the newest state.
                log.info("%s: %s; listing again", self._resource, error.message)
                self._position, self._list_position = None, ""
                if self._expired:
                    await self._back_off()
                self._expired = True
                self._contact.answered()
            except ApiError as error:
                self._lost()
                log.warning("%s: %s: %s", self._resource, type(error).__name__, error.message)
                if await self._contact.wait(self._retry_seconds()):
                    await asyncio.sleep(RESUME_SECONDS * self._ids.random())

    def _lost(self) -> None:
        following = self._objects.following
        if following.is_up:
            self._objects.following = Following(is_up=False, losses=following.losses + 1)

    def _retry_seconds(self) -> float:
        seconds = min(RETRY_FIRST_SECONDS * 2.0 ** min(self._failures, 16), RETRY_LIMIT_SECONDS)
        self._failures += 1
        return seconds * (1 + self._ids.random())

    async def _back_off(self) -> None:
        """Whatever happens to others: the server answers, but with nothing to go on with."""
        await asyncio.sleep(self._retry_seconds())

    async def _relist(self) -> None:
        objects: list[Obj] = []
        continue_, position = "", self._list_position
        while True:
            page = await self._client.list(
                self._resource,
                limit=self._page_items if position != "0" else 0,
                continue_=continue_,
                resource_version="" if continue_ else position,
            )
            objects.extend(item.obj for item in page.items)
            continue_ = page.continue_
            if not continue_:
                break
        self._objects.replace(objects, int(page.resource_version or 0))
        self._position = self._list_position = page.resource_version
        self._contact.answered()

    async def _follow(self) -> None:
        began, seconds = self._position, int(WATCH_MIN_SECONDS * (1 + self._ids.random()))
        try:
            async with asyncio.timeout(seconds + OVERDUE_SECONDS):
                await self._watch(seconds)
        except TimeoutError:
            log.info("%s: its watch did not end in time; watching anew", self._resource)
        if self._position == began:
            # A server that ends watches at once must not be asked in a tight loop.
            await self._back_off()

    async def _watch(self, seconds: int) -> None:
        events = await self._client.watch(
            self._resource, resource_version=self._position or "", timeout_seconds=seconds
        )
        self._objects.following = replace(self._objects.following, is_up=True)
        self._contact.answered()
        async with aclosing(cast("_Closable", events)):
            async for event in events:
                self._take(event)
                self._failures, self._expired = 0, False

    def _take(self, event: Event) -> None:
        obj = event.obj
        if event.type == EventType.ERROR:
            raise from_status(obj)
        if event.type == EventType.DELETED:
            self._objects.remove(obj)
        elif event.type == EventType.BOOKMARK:
            self._objects.advance(resource_version_of(obj))
        else:
            self._objects.put(obj)
        self._position = self._list_position = str(obj["metadata"]["resourceVersion"])


class _Closable(AsyncIterator[Event]):
    """What a watch's iterator is besides (``api.call.Watching``)."""

    async def aclose(self) -> None: ...
