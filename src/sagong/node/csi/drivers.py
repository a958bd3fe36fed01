"""The CSI drivers that registered on this node."""

import logging

from sagong.api.errors import ApiError
from sagong.node.csi.csi_node import CsiNodeWriter, TopologyCollision
from sagong.node.csi.driver import CsiDriver
from sagong.node.plugins.channel import PluginFailure
from sagong.node.plugins.registry import Plugin, PluginRefused

log = logging.getLogger(__name__)

NODE_ID_BYTES_MAX = 256  # the specification's bound on node_id


class CsiDrivers:
    """The handler of plugins of type CSIPlugin."""

    def __init__(self, writer: CsiNodeWriter) -> None:
        self._writer = writer
        self._drivers: dict[str, CsiDriver] = {}

    def get(self, name: str) -> CsiDriver:
        """Raises PluginFailure, in upstream's words."""
        driver = self._drivers.get(name)
        if driver is None:
            raise PluginFailure(
                f"driver name {name} not found in the list of registered CSI drivers"
            )
        return driver

    async def register(self, plugin: Plugin) -> None:
        if not any(version.lstrip("v").startswith("1.") for version in plugin.versions):
            raise PluginRefused(f"no supported version in {', '.join(plugin.versions)}")
        driver = CsiDriver(plugin.name, plugin.endpoint)
        try:
            info = await driver.info()
            if not info.node_id or len(info.node_id.encode()) > NODE_ID_BYTES_MAX:
                raise PluginRefused(f"invalid node ID {info.node_id!r}")
            await self._writer.install(plugin.name, info)
        except (PluginFailure, ApiError, TopologyCollision) as error:
            await driver.close()
            raise PluginRefused(str(error)) from error
        before = self._drivers.get(plugin.name)
        self._drivers[plugin.name] = driver
        if before is not None:
            await before.close()

    async def deregister(self, plugin: Plugin) -> None:
        driver = self._drivers.pop(plugin.name, None)
        if driver is not None:
            await driver.close()
        try:
            await self._writer.uninstall(plugin.name)
        except ApiError as error:
            log.warning("cannot take driver %s from the node's objects: %s", plugin.name, error)

    async def close(self) -> None:
        for driver in self._drivers.values():
            await driver.close()
        self._drivers.clear()
