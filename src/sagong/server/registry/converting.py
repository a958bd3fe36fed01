"""Reads and watches of resources that somebody else converts (``Served.converter``).

Selectors see converted objects: what a version's clients select is what they are shown.
"""

import functools
from collections import deque
from collections.abc import Sequence
from typing import Any

from sagong.api import errors
from sagong.api.call import Call, EventType, Watching
from sagong.api.types import Encoded
from sagong.core.tasks import Tasks
from sagong.server.cache import Change, Item, SharedEvent
from sagong.server.registry.answers import shown
from sagong.server.registry.backend import Backend
from sagong.server.registry.selection import Predicate
from sagong.server.registry.served import Served
from sagong.server.registry.watching import WATCH_BUFFER_EVENTS, WatchStream, watch


async def select(
    served: Served, items: Sequence[Item], predicate: Predicate | None
) -> list[tuple[Item, Encoded]]:
    """Stored items with what they are shown as, if that is selected. Raises ``api.errors``."""
    assert served.converter is not None
    encoded = [item.encoded for item in items]
    converted = await served.converter.read(encoded, served.resource.api_version)
    return [
        (item, shown(served, found))
        for item, found in zip(items, converted, strict=True)
        if predicate is None or predicate(found.obj)
    ]


async def watch_converted(backend: Backend, call: Call, served: Served) -> Watching:
    """As ``watch``; each state is converted before it is selected and sent."""
    assert backend.tasks is not None
    make = functools.partial(ConvertingStream, served, backend.tasks)
    return await watch(backend, call, make)


class ConvertingStream(WatchStream):
    """A watch whose events wait for conversion, in order."""

    __slots__ = ("_is_ending", "_is_pumping", "_raw", "_selects", "_served", "_tasks")

    def __init__(
        self, served: Served, tasks: Tasks, *arguments: Any, after: int, convert: Any = None
    ) -> None:
        cache, scope, predicate = arguments
        super().__init__(cache, scope, None, after=after)
        self._served = served
        self._tasks = tasks
        self._selects: Predicate | None = predicate
        self._raw: deque[Change | SharedEvent] = deque()
        self._is_pumping = False
        self._is_ending = False

    def on_change(self, change: Change) -> None:
        if self._ended or self._is_ending or change.revision <= self._after:
            return
        if len(self._raw) >= WATCH_BUFFER_EVENTS:
            self.end()
            return
        self._enqueue(change)

    def put(self, event: SharedEvent) -> None:
        self._enqueue(event)

    def end(self) -> None:
        """No more events come; those that wait for conversion are still converted."""
        if self._is_pumping:
            self._is_ending = True
            self._detach()
        else:
            super().end()

    def _enqueue(self, raw: Change | SharedEvent) -> None:
        self._raw.append(raw)
        if not self._is_pumping:
            self._is_pumping = True
            self._tasks.start(self._pump(), name="conversion for a watch")

    async def _pump(self) -> None:
        """Convert what has come, until nothing has; supervised: a failure ends the watch."""
        try:
            while self._raw:
                batch = list(self._raw)
                self._raw.clear()
                await self._convert_all(batch)
        except errors.ApiError as error:
            super().put(SharedEvent(EventType.ERROR, Encoded(error.status())))
            self._is_ending = True
        finally:
            self._is_pumping = False
            if self._is_ending:
                super().end()

    async def _convert_all(self, batch: Sequence[Change | SharedEvent]) -> None:
        assert self._served.converter is not None
        states = [state for raw in batch for state in _states_of(raw)]
        api_version = self._served.resource.api_version
        read = iter(await self._served.converter.read(states, api_version))
        for raw in batch:
            if isinstance(raw, SharedEvent):
                self._put_event(raw, read)
            else:
                self._put_change(raw, read)

    def _put_event(self, event: SharedEvent, read: Any) -> None:
        if not _has_object(event):
            super().put(event)
            return
        found = next(read)
        if self._selected(found):
            super().put(SharedEvent(event.type, shown(self._served, found)))

    def _put_change(self, change: Change, read: Any) -> None:
        before = next(read) if change.before is not None else None
        after = next(read) if change.after is not None else None
        had, has = self._selected(before), self._selected(after)
        if has and after is not None:
            type_ = EventType.MODIFIED if had else EventType.ADDED
            super().put(SharedEvent(type_, shown(self._served, after)))
        elif had and before is not None:
            last = shown(self._served, before).obj
            metadata = {**last["metadata"], "resourceVersion": str(change.revision)}
            super().put(SharedEvent(EventType.DELETED, Encoded({**last, "metadata": metadata})))

    def _selected(self, encoded: Encoded | None) -> bool:
        if encoded is None:
            return False
        return self._selects is None or self._selects(encoded.obj)


def _has_object(event: SharedEvent) -> bool:
    return event.type not in (EventType.BOOKMARK, EventType.ERROR)


def _states_of(raw: Change | SharedEvent) -> list[Encoded]:
    if isinstance(raw, SharedEvent):
        return [raw.encoded] if _has_object(raw) else []
    return [item.encoded for item in (raw.before, raw.after) if item is not None]
