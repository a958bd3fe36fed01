"""Telling pods why they wait: the PodScheduled condition, the nomination, the event."""

import asyncio
import logging

from sagong.api import errors
from sagong.api.call import PatchType
from sagong.api.meta import condition, name_of, uid_of
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock, format_time
from sagong.ctl.controller import Events

log = logging.getLogger(__name__)

UNSCHEDULABLE, FAILED, GATED = "Unschedulable", "SchedulerError", "SchedulingGated"
# Past these a pod is told at its next attempt.
REPORT_ATTEMPTS = 4
REPORT_RETRY_SECONDS = 0.25


class Reporting:
    """Writes what a pod should know; only when it says something new."""

    def __init__(self, client: Client, events: Events, clock: Clock) -> None:
        self._client = client
        self._events = events
        self._clock = clock

    async def report(
        self, obj: Obj, message: str, *, nominated: str = "", reason: str = UNSCHEDULABLE
    ) -> None:
        self._events.emit(obj, "Warning", "FailedScheduling", message)
        current = condition(obj, "PodScheduled")
        renamed = nominated != (obj.get("status") or {}).get("nominatedNodeName", "")
        if current and current.get("message") == message and not renamed:
            return
        now = format_time(self._clock.now())
        same = current is not None and current["status"] == "False"
        since = current.get("lastTransitionTime") if current and same else now
        update = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": since or now,
            "observedGeneration": obj["metadata"].get("generation"),
        }
        status: Obj = {"conditions": [update]}
        if renamed:
            status["nominatedNodeName"] = nominated or None
        await self._write(obj, {"metadata": {"uid": uid_of(obj)}, "status": status})

    async def _write(self, obj: Obj, patch: Obj) -> None:
        for attempt in range(REPORT_ATTEMPTS):
            try:
                await self._client.patch(
                    "pods",
                    name_of(obj),
                    patch,
                    namespace=obj["metadata"]["namespace"],
                    patch_type=PatchType.STRATEGIC,
                    subresource="status",
                )
            except (errors.InternalError, errors.ServiceUnavailable) as error:
                log.debug("reporting on %s: %s", name_of(obj), error)
                await asyncio.sleep(REPORT_RETRY_SECONDS * 2**attempt)
            except errors.ApiError as error:
                # The pod is gone or another one: the next look at the cache settles it.
                log.debug("reporting on %s: %s", name_of(obj), error)
                return
            else:
                return
