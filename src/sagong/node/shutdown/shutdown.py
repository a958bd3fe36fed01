"""Holding up the machine's shutdown until the pods have ended: the least important ones first."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sagong.api.pods import is_finished
from sagong.api.types import Obj
from sagong.core.tasks import task_group
from sagong.node.programs import ProgramFailure
from sagong.node.shutdown.groups import Group, ShutdownSettings, groups_of
from sagong.node.shutdown.login import Login

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
STATUS = "node is shutting down"  # in the node's Ready condition


class Tenant(Protocol):
    """A pod's worker, as far as a shutdown needs it."""

    @property
    def pod(self) -> Obj: ...

    def shut_down(self, *, grace_seconds: float) -> None: ...

    async def wait_ended(self) -> None:
        """Until nothing of the pod runs and its status says so."""
        ...


@dataclass(slots=True)
class GracefulShutdown:
    """One an agent; does nothing without periods."""

    settings: ShutdownSettings
    login: Login
    tenants: Callable[[], Mapping[str, Tenant]]
    changed: Callable[[bool], None]  # told when the machine begins to go down, and when not

    async def run(self) -> None:
        """Until cancelled."""
        if not self.settings.periods:
            await asyncio.Event().wait()
        while True:
            try:
                await self._stand_by()
            except (ProgramFailure, OSError) as error:
                log.warning("a shutdown of this machine would not wait for pods: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _stand_by(self) -> None:
        """Hold the lock until a shutdown has been dealt with."""
        wanted = self.settings.total_seconds
        if await self.login.delay_max_seconds() < wanted:
            await self.login.allow_delay(wanted)
            found = await self.login.delay_max_seconds()
            if found < wanted:
                log.warning("logind lets a shutdown wait for %s s only, not for %s", found, wanted)
        async with contextlib.aclosing(self.login.shutdowns()) as told:
            async with self.login.delaying():
                await _wait_told(told, goes_down=True)
                self.changed(True)
                await self.end_pods()
            # The lock is given back, and the machine goes down unless that is called off yet.
            await _wait_told(told, goes_down=False)
            self.changed(False)

    async def end_pods(self) -> None:
        """Group by group, each within its period."""
        tenants = dict(self.tenants())
        living = [t.pod for t in tenants.values() if not is_finished(t.pod)]
        for group in groups_of(self.settings.periods, living):
            log.info("shutdown: ending %d pods of %s", len(group.graces), group.period)
            await self._end_group(group, tenants)

    async def _end_group(self, group: Group, tenants: Mapping[str, Tenant]) -> None:
        for uid, grace in group.graces.items():
            tenants[uid].shut_down(grace_seconds=grace)
        try:
            async with asyncio.timeout(group.period.seconds), task_group() as tasks:
                waiting = [
                    tasks.start(tenants[uid].wait_ended(), name=f"end of pod {uid}")
                    for uid in group.graces
                ]
                for one in waiting:
                    await one
        except TimeoutError:
            log.warning("shutdown: pods of %s have not ended in time", group.period)


async def _wait_told(told: AsyncIterator[bool], *, goes_down: bool) -> None:
    async for found in told:
        if found == goes_down:
            return
