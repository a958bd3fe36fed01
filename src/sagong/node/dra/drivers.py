"""The DRA drivers that registered on this node, and the ResourceSlices they leave behind.

A driver that has gone offers nothing: its slices of this node are deleted after a while, and all of
the node's when the agent begins, since no driver is known then; a driver that is there publishes
them anew.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from sagong.api.errors import ApiError
from sagong.client.client import Client
from sagong.core.tasks import Tasks, task_group
from sagong.node.dra.driver import DraDriver
from sagong.node.plugins.channel import PluginFailure
from sagong.node.plugins.registry import Plugin, PluginRefused

log = logging.getLogger(__name__)

SLICES = "resourceslices.resource.k8s.io"
RETRY_SECONDS = 5.0
HEALTH_RETRY_SECONDS = 5.0
HEALTH = {0: "Unknown", 1: "Healthy", 2: "Unhealthy"}


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    status: str
    message: str = ""


@dataclass(slots=True)
class DraDrivers:
    """The handler of plugins of type DRAPlugin. ``changed`` is told of a driver that has come,
    or whose devices' health is another."""

    node_name: str
    client: Client
    changed: Callable[[str], None]
    wipe_seconds: float
    _drivers: dict[str, DraDriver] = field(default_factory=dict)
    _leaving: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _health: dict[tuple[str, str, str], DeviceHealth] = field(default_factory=dict)
    _tasks: Tasks | None = None

    def get(self, name: str) -> DraDriver:
        """Raises PluginFailure, in upstream's words."""
        driver = self._drivers.get(name)
        if driver is None:
            raise PluginFailure(f"DRA driver {name} is not registered")
        return driver

    def health(self, driver: str, pool: str, device: str) -> DeviceHealth:
        return self._health.get((driver, pool, device), DeviceHealth("Unknown"))

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with task_group() as tasks:
                self._tasks = tasks
                tasks.start(self._wipe(""), name="resource slices")
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            for driver in self._drivers.values():
                await driver.close()
            self._drivers.clear()

    async def register(self, plugin: Plugin) -> None:
        try:
            driver = DraDriver(plugin.name, plugin.endpoint, plugin.versions)
        except ValueError as error:
            raise PluginRefused(str(error)) from error
        leaving = self._leaving.pop(plugin.name, None)
        if leaving is not None:
            leaving.cancel()
        before = self._drivers.get(plugin.name)
        self._drivers[plugin.name] = driver
        if before is not None:
            await before.close()
        self.changed(plugin.name)  # pods may be waiting for it
        if driver.health is not None and self._tasks is not None:
            self._tasks.start(self._follow_health(driver), name=f"health of {plugin.name}")

    async def deregister(self, plugin: Plugin) -> None:
        driver = self._drivers.pop(plugin.name, None)
        if driver is not None:
            await driver.close()
        self._forget_health(plugin.name)
        if self._tasks is not None:
            wipe = self._tasks.start(self._wipe_later(plugin.name), name=f"slices {plugin.name}")
            self._leaving[plugin.name] = wipe

    async def _wipe_later(self, driver: str) -> None:
        await asyncio.sleep(self.wipe_seconds)
        await self._wipe(driver)
        self._leaving.pop(driver, None)

    async def _wipe(self, driver: str) -> None:
        """Delete the node's slices, of one driver or of all, until it is done."""
        selector = f"spec.nodeName={self.node_name}"
        if driver:
            selector += f",spec.driver={driver}"
        while True:
            try:
                await self.client.delete_collection(SLICES, field_selector=selector)
            except ApiError as error:
                log.warning("cannot delete the node's ResourceSlices yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            return

    async def _follow_health(self, driver: DraDriver) -> None:
        while self._drivers.get(driver.name) is driver:
            try:
                async for devices in driver.watch_health():
                    for told in devices:
                        key = driver.name, told.device.pool_name, told.device.device_name
                        self._health[key] = DeviceHealth(HEALTH[told.health], told.message)
                    self.changed(driver.name)
            except PluginFailure as error:
                log.info("health of devices of driver %s: %s", driver.name, error)
            if self._drivers.get(driver.name) is driver:
                self._forget_health(driver.name)
                await asyncio.sleep(HEALTH_RETRY_SECONDS)

    def _forget_health(self, driver: str) -> None:
        gone = [key for key in self._health if key[0] == driver]
        for key in gone:
            del self._health[key]
        if gone:
            self.changed(driver)
