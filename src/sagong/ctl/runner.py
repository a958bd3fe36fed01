"""Runs a table of controllers: queues, workers, retries, back-off, resync and metrics for all.

A reconcile function never runs twice at a time for one key, and never before the cache has seen
what the last run for that key wrote.
"""

import asyncio
import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from sagong.api.errors import ApiError, Conflict, Forbidden, NotFound
from sagong.api.meta import key_of
from sagong.api.types import Key, Obj
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.core.ids import Ids
from sagong.core.tasks import Tasks, task_group
from sagong.ctl.controller import Controller, Env, Mapper, Reconcile
from sagong.ctl.events import Recorder
from sagong.ctl.indexed import Handler
from sagong.ctl.informer import SharedCache
from sagong.ctl.metrics import QueueMetrics
from sagong.ctl.queue import WorkQueue
from sagong.ctl.writes import Noting, Writes

log = logging.getLogger(__name__)

# Upstream's ExpectationsTimeout: a write that is not seen by then is taken to have been missed.
UNSEEN_LIMIT_SECONDS = 300.0
# Seconds since the epoch are told apart by some 2e-7 only: a key whose time is nearly up would come
# again and again without the clock having moved.
SOON_SECONDS = 0.001


class Runner:
    """Controllers of one process over one SharedCache, each under its own identity.

    The cache is run by the composition root, before or beside ``run``.
    """

    def __init__(
        self,
        client_for: Callable[[str], Client],
        cache: SharedCache,
        clock: Clock,
        ids: Ids,
        *,
        metrics: QueueMetrics | None = None,
    ) -> None:
        """``client_for`` gives the client of a controller by its name; close them yourself."""
        self._client_for = client_for
        self._cache = cache
        self._clock = clock
        self._ids = ids
        self._metrics = metrics or QueueMetrics(CollectorRegistry())
        self._loops: list[Loop] = []

    def add(self, controller: Controller, reconcile: Reconcile) -> None:
        """Run a controller too. Declares what it watches. Raises LookupError for what is not."""
        self._cache.declare(controller.reconciles)
        for watch in controller.watches:
            self._cache.declare(watch.resource, watch.indexes)
        client = self._client_for(controller.name)
        component = controller.component or f"{controller.name}-controller"
        recorder = Recorder(client, component=component, clock=self._clock, ids=self._ids)
        env = Env(client, self._cache, recorder, self._clock, self._ids)
        queue: WorkQueue[Key] = WorkQueue(controller.name, self._clock, self._metrics)
        self._loops.append(Loop(controller, reconcile, env, self._cache, queue, recorder))

    async def run(self) -> None:
        """Until cancelled."""
        async with task_group() as tasks:
            for loop in self._loops:
                tasks.start(loop.run(), name=f"controller {loop.name}")
            await asyncio.Event().wait()


class Loop:
    """One controller at work."""

    def __init__(
        self,
        controller: Controller,
        reconcile: Reconcile,
        env: Env,
        cache: SharedCache,
        queue: WorkQueue[Key],
        recorder: Recorder,
    ) -> None:
        self.name = controller.name
        self._controller = controller
        self._reconcile = reconcile
        self._env = env
        self._cache = cache
        self._queue = queue
        self._recorder = recorder

    async def run(self) -> None:
        """Until cancelled; on the way out, all tasks and handlers are gone."""
        controller = self._controller
        handlers: list[tuple[str, Handler]] = [(controller.reconciles, self._wake_itself)]
        handlers += [(w.resource, self._waking(w.wakes)) for w in controller.watches if w.wakes]
        try:
            for resource, handler in handlers:
                self._cache.on_change(resource, handler)
            async with task_group() as tasks:
                tasks.start(self._recorder.run(), name=f"{self.name} events")
                resources = [controller.reconciles, *(w.resource for w in controller.watches)]
                await self._cache.wait_synced(resources)
                for number in range(controller.workers):
                    tasks.start(self._work(tasks), name=f"{self.name} worker {number}")
                if controller.resync_seconds is not None:
                    tasks.start(self._resync(controller.resync_seconds), name=f"{self.name} resync")
                await asyncio.Event().wait()
        finally:
            self._queue.close()
            for resource, handler in handlers:
                if self._cache.declared(resource):
                    self._cache.remove_handler(resource, handler)

    def _wake_itself(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old
        assert obj is not None
        concerns = self._controller.concerns
        cache = self._cache
        if concerns is None or any(concerns(o, cache) for o in (new, old) if o is not None):
            self._queue.add(key_of(obj))

    def _waking(self, wakes: Mapper) -> Handler:
        def handler(old: Obj | None, new: Obj | None) -> None:
            try:
                keys = wakes(old, new, self._cache)
            except Exception:  # supervised border: one odd object must not stop all
                log.exception("%s: cannot tell whom a change concerns", self.name)
                return
            for key in keys:
                self._queue.add(key)

        return handler

    async def _resync(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            for obj in self._cache.list(self._controller.reconciles):
                self._wake_itself(None, obj)

    async def _work(self, tasks: Tasks) -> None:
        while True:
            key = await self._queue.wait_next()
            writes = Writes()
            await self._once(key, writes)
            if writes.unseen(self._cache):
                # The key stays in work meanwhile; the worker goes on with others.
                tasks.start(self._settle(key, writes), name=f"{self.name} unseen {key}")
            else:
                self._queue.done(key)

    async def _once(self, key: Key, writes: Writes) -> None:
        client = self._env.client
        noting = client.over(Noting(client.transport, writes))
        env = Env(noting, self._cache, self._recorder, self._env.clock, self._env.ids)
        try:
            result = await self._reconcile(key, env)
        except (Conflict, NotFound) as error:
            # The cache was behind; the retry sees more of the world.
            log.debug("%s: %s: %s", self.name, key, error)
            self._queue.retry(key)
        except ApiError as error:
            # The API's answer says all there is to know: where it was asked does not matter.
            level = logging.DEBUG if _is_terminating(error) else logging.WARNING
            log.log(level, "%s: %s: %s: %s", self.name, key, type(error).__name__, error.message)
            self._queue.retry(key)
        except Exception:  # supervised border: a key's failure is retried
            failures = self._queue.failures(key)
            log.exception("%s: reconciling %s failed (%d before)", self.name, key, failures)
            self._queue.retry(key)
        else:
            self._queue.forget(key)
            if result.after_seconds is not None:
                self._queue.add_after(key, max(result.after_seconds, SOON_SECONDS))

    async def _settle(self, key: Key, writes: Writes) -> None:
        if not await writes.wait_seen(self._cache, UNSEEN_LIMIT_SECONDS):
            log.error("%s: %s: own writes still unseen, going on: %s", self.name, key, writes)
        self._queue.done(key)


def _is_terminating(error: ApiError) -> bool:
    """Nothing can be made in a namespace that is going away; that is no trouble."""
    return isinstance(error, Forbidden) and any(
        cause.get("reason") == "NamespaceTerminating" for cause in error.causes
    )
