"""Keeps an eye on extensions: are they available, what do they serve? And serves through them."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from sagong.api import errors
from sagong.api.call import Call, Verb
from sagong.api.meta import condition
from sagong.api.types import Obj
from sagong.core.clock import format_time
from sagong.core.tasks import Tasks, task_group
from sagong.server.aggregation.conditions import (
    PASSED,
    CheckFailed,
    State,
    judge,
    with_condition,
)
from sagong.server.aggregation.contents import Content, aggregated_resources, only
from sagong.server.aggregation.metrics import Availability
from sagong.server.aggregation.services import (
    API_SERVICES,
    Extension,
    Extensions,
    GroupVersion,
    Priority,
    extension_of,
)
from sagong.server.assembly import Core
from sagong.server.bootstrap.reconcile import SERVER_USER
from sagong.server.cache import Change
from sagong.server.remote.locating import SLICES, Unresolved
from sagong.store.errors import StoreError

if TYPE_CHECKING:
    from sagong.server.aggregation.calling import Caller

log = logging.getLogger(__name__)

CHECK_SECONDS = 6.0  # upstream's bound on one look at an extension
AGAIN_SECONDS = 30.0  # until an extension that is well is looked at again
RETRY_FIRST_SECONDS = 0.25
# Schemas are large, and asked for again at most this often.
SCHEMAS_SECONDS = 60.0
SCHEMAS_TIMEOUT_SECONDS = 20.0
# After a cache has lost its store: what it shows then is complete again.
RESYNC_SECONDS = 2.0
_SERVICE_LABEL = "kubernetes.io/service-name"
LOCAL = State(True, "Local", "Local APIServices are always available")


@dataclass(slots=True)
class _Watch:
    """What is remembered of one APIService between two looks."""

    failures: int = 0
    schemas_at: float = -SCHEMAS_SECONDS
    is_running: bool = False
    is_due_again: bool = False
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Aggregator:
    """See the module's docstring."""

    core: Core
    extensions: Extensions
    certificate: Path
    key: Path
    metrics: Availability
    version: int = 0  # changes whenever ``contents`` do
    _contents: dict[GroupVersion, Content] = field(default_factory=dict)
    _watches: dict[str, _Watch] = field(default_factory=dict)
    _tasks: Tasks | None = None
    _caller: "Caller | None" = None

    @property
    def caller(self) -> "Caller":
        """Connections to extensions, made and imported when the first is needed."""
        if self._caller is None:
            from sagong.server.aggregation.calling import Caller

            caches, ids = self.core.caches, self.core.backend.ids
            self._caller = Caller(caches, ids, self.certificate, self.key)
        return self._caller

    async def close(self) -> None:
        """Look at nothing any more; what is under way has ended."""
        self._tasks = None
        for watch in self._watches.values():
            if watch.timer is not None:
                watch.timer.cancel()
        if self._caller is not None:
            await self._caller.close()

    # What discovery and OpenAPI ask

    def contents(self) -> Mapping[GroupVersion, Content]:
        """What is known of each extension that is registered now."""
        nothing = Content()
        return {gv: self._contents.get(gv, nothing) for gv in self.extensions.all()}

    def priorities(self) -> Mapping[GroupVersion, Priority]:
        return self.extensions.priorities()

    def state(self) -> tuple[int, int]:
        """Changes with anything that documents are made from."""
        return self.version, self.extensions.version

    def version2_documents(self) -> Iterable[Obj]:
        return [c.version2 for c in self.contents().values() if c.version2 is not None]

    # Told by the caches

    def follow(self, tasks: Tasks) -> None:
        """Look at every APIService now, and whenever something that it depends on changes."""
        self._tasks = tasks
        caches = self.core.caches
        for name in (API_SERVICES, "services", SLICES):
            cache = caches.named(name)
            assert cache is not None, "built in"
            cache.add_watcher("", _Listener(self, name))
        self.look_at_all()

    def look_at_all(self) -> None:
        """At every APIService of an extension, and at those that have gone."""
        found = [item.obj for item in self.core.caches.list(API_SERVICES)]
        names = {o["metadata"]["name"] for o in found if extension_of(o) is not None}
        for name in sorted(names | self._watches.keys()):
            self.look(name)

    def changed(self, resource: str, obj: Obj) -> None:
        metadata = obj["metadata"]
        if resource == API_SERVICES:
            if extension_of(obj) is not None or metadata["name"] in self._watches:
                self.look(metadata["name"])
            return
        name = metadata["name"]
        if resource == SLICES:
            name = (metadata.get("labels") or {}).get(_SERVICE_LABEL, "")
        for extension in self.extensions.all().values():
            ref = extension.service
            if (ref.namespace, ref.name) == (metadata.get("namespace"), name):
                self.look(extension.name)

    def look(self, name: str) -> None:
        """Look at an APIService soon; at once, unless that is being done."""
        watch = self._watches.setdefault(name, _Watch())
        if watch.timer is not None:
            watch.timer.cancel()
            watch.timer = None
        if watch.is_running:
            watch.is_due_again = True
        elif self._tasks is not None:
            watch.is_running = True
            self._tasks.start(self._look(name, watch), name=f"availability of {name}")

    async def _look(self, name: str, watch: _Watch) -> None:
        try:
            wait_seconds = await self._step(name, watch)
        except (errors.ApiError, StoreError) as error:
            log.warning("availability of %s: %s", name, error)
            wait_seconds = AGAIN_SECONDS
        finally:
            watch.is_running = False
        if watch.is_due_again:
            watch.is_due_again = False
            self.look(name)
        elif wait_seconds:
            loop = asyncio.get_running_loop()
            watch.timer = loop.call_later(wait_seconds, self.look, name)
        else:
            self._watches.pop(name, None)

    async def _step(self, name: str, watch: _Watch) -> float:
        """One look; in how many seconds to look again, 0 for never."""
        found = self.core.caches.get(API_SERVICES, "", name)
        if found is None:
            self.metrics.gone(name)
            self._forget_gone()
            return 0
        extension = extension_of(found.obj)
        if extension is None:
            self.metrics.gone(name)
            await self._report(found.obj, LOCAL)
            self._forget_gone()
            return 0
        state = await self._state_of(extension)
        self.metrics.seen(name, state)
        await self._report(found.obj, state)
        if not state.is_available:
            watch.failures += 1
            self._remember(extension, is_current=False)
            return min(AGAIN_SECONDS, RETRY_FIRST_SECONDS * 2.0**watch.failures)
        watch.failures = 0
        now = asyncio.get_running_loop().time()
        if now - watch.schemas_at >= SCHEMAS_SECONDS:
            watch.schemas_at = now
            await self._fetch_schemas(extension)
        return AGAIN_SECONDS

    async def _state_of(self, extension: Extension) -> State:
        caches, ref = self.core.caches, extension.service
        service = caches.get("services", ref.namespace, ref.name)
        slices = [
            item.obj
            for item in caches.list(SLICES, ref.namespace)
            if (item.obj["metadata"].get("labels") or {}).get(_SERVICE_LABEL) == ref.name
        ]
        wrong = judge(extension, service.obj if service else None, slices)
        if wrong is not None:
            return wrong
        try:
            data = await self.caller.fetch(extension, extension.path, seconds=CHECK_SECONDS)
        except (CheckFailed, Unresolved, ValueError) as error:
            return State(False, "FailedDiscoveryCheck", str(error))
        with contextlib.suppress(orjson.JSONDecodeError, AttributeError):
            listing = orjson.loads(data)
            found = aggregated_resources(listing, extension.group, extension.version)
            self._remember(extension, is_current=True, resources=found)
        return PASSED

    async def _report(self, obj: Obj, state: State) -> None:
        """Say so in the object's status, unless it says so already."""
        known = condition(obj, "Available") or {}
        wanted = ("True" if state.is_available else "False", state.reason, state.message)
        if (known.get("status"), known.get("reason"), known.get("message")) == wanted:
            return
        resource = self.core.resources.named(API_SERVICES)
        assert resource is not None, "built in"
        name = obj["metadata"]["name"]
        call = Call(Verb.UPDATE, resource, name=name, user_agent="kube-apiserver")
        now = format_time(self.core.backend.clock.now())
        with contextlib.suppress(errors.NotFound):
            await self.core.server.registry.modify(
                call,
                SERVER_USER,
                lambda current: with_condition(current, state, now=now),
                subresource="status",
            )

    # What extensions say of themselves

    async def _fetch_schemas(self, extension: Extension) -> None:
        """What it publishes as OpenAPI; that it publishes none is no failure."""
        key = (extension.group, extension.version)
        content = self._contents.get(key, Content())
        try:
            index = orjson.loads(await self._fetch(extension, "/openapi/v3"))
            entry = (index.get("paths") or {}).get(extension.path.strip("/")) or {}
            content = replace(content, version3_url=str(entry.get("serverRelativeURL") or ""))
        except (CheckFailed, Unresolved, ValueError, AttributeError) as error:
            log.debug("%s has no OpenAPI v3: %s", extension.name, error)
        try:
            data = await self._fetch(extension, "/openapi/v2")
            document = only(orjson.loads(data), [extension.path])
            digest = hashlib.sha256(orjson.dumps(document)).hexdigest()
            content = replace(content, version2=document, version2_hash=digest)
        except (CheckFailed, Unresolved, ValueError, AttributeError) as error:
            log.debug("%s has no OpenAPI v2: %s", extension.name, error)
        self._put(key, content)

    async def _fetch(self, extension: Extension, path: str) -> bytes:
        return await self.caller.fetch(extension, path, seconds=SCHEMAS_TIMEOUT_SECONDS)

    def _remember(
        self, extension: Extension, *, is_current: bool, resources: list[Obj] | None = None
    ) -> None:
        key = (extension.group, extension.version)
        content = replace(self._contents.get(key, Content()), is_current=is_current)
        if resources is not None:
            content = replace(content, resources=resources)
        self._put(key, content)

    def _put(self, key: GroupVersion, content: Content) -> None:
        if self._contents.get(key) != content:
            self._contents[key] = content
            self.version += 1

    def _forget_gone(self) -> None:
        there = self.extensions.all()
        for key in [k for k in self._contents if k not in there]:
            del self._contents[key]
            self.version += 1


@dataclass(slots=True, eq=False)
class _Listener:
    """A watcher of one cache."""

    aggregator: Aggregator
    resource: str

    def on_change(self, change: Change) -> None:
        item = change.after or change.before
        if item is not None:
            self.aggregator.changed(self.resource, item.encoded.obj)

    def on_lost(self) -> None:
        """The cache begins again from a listing, of whose changes nobody is told."""
        loop = asyncio.get_running_loop()
        loop.call_later(RESYNC_SECONDS, self.aggregator.look_at_all)


@contextlib.asynccontextmanager
async def aggregation(core: Core, certificate: Path, key: Path) -> AsyncIterator[Aggregator]:
    """Look after extensions while the block runs."""
    metrics = Availability(core.metrics_registry)
    aggregator = Aggregator(core, Extensions(core.caches), certificate, key, metrics)
    try:
        async with task_group() as tasks:
            aggregator.follow(tasks)
            yield aggregator
    finally:
        await aggregator.close()
