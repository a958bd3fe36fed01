"""The storage side of an agent: plugins that register, CSI drivers, volumes of pods."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sagong.api.errors import ApiError
from sagong.api.types import Obj
from sagong.client.client import Client
from sagong.core.clock import Clock
from sagong.core.tasks import task_group
from sagong.ctl.controller import Events
from sagong.node.config import NodeConfig
from sagong.node.csi.csi_node import CsiNodeWriter
from sagong.node.csi.drivers import CsiDrivers
from sagong.node.csi.records import CsiPlaces
from sagong.node.plugins.registry import PluginHandler, PluginRegistry
from sagong.node.volumes import mounts
from sagong.node.volumes.csi_volume import CsiMounter
from sagong.node.volumes.image_volume import Runtime
from sagong.node.volumes.pod_volumes import PodVolumes

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class NodeStorage:
    """One an agent, made by ``node_storage``."""

    config: NodeConfig
    writer: CsiNodeWriter
    drivers: CsiDrivers
    csi: CsiMounter
    plugins: PluginRegistry

    def prepare(self) -> None:
        """Before any pod starts: mounts below the data directory must be seen by containers."""
        for name in ("pods", "plugins"):
            (self.config.data_dir / name).mkdir(parents=True, exist_ok=True, mode=0o750)
        mounts.share(self.config.data_dir)

    def volumes(self, runtime: Runtime, events: Events) -> PodVolumes:
        return PodVolumes(self.csi, self.csi.node, runtime, events.emit)

    async def run(self) -> None:
        """Until cancelled: keep the CSINode, take plugins as they come."""
        try:
            async with task_group() as tasks:
                tasks.start(self._ensure_csi_node(), name="CSINode")
                await self.plugins.run()
        finally:
            await self.drivers.close()

    async def _ensure_csi_node(self) -> None:
        while True:
            try:
                return await self.writer.ensure()
            except ApiError as error:
                log.warning("cannot write the node's CSINode yet: %s", error)
                await asyncio.sleep(RETRY_SECONDS)


def node_storage(
    config: NodeConfig,
    client: Client,
    clock: Clock,
    *,
    node: Callable[[], Obj],
    use_changed: Callable[[], None],
    handlers: dict[str, PluginHandler] | None = None,
) -> NodeStorage:
    """``node`` gives our Node as the API last told; ``use_changed`` is called when the volumes in
    use have changed; ``handlers`` are those of plugins of other types."""
    writer = CsiNodeWriter(config.name, client)
    drivers = CsiDrivers(writer)
    places = CsiPlaces(config.plugin_view or config.data_dir)
    csi = CsiMounter(config.name, places, drivers, node, use_changed)
    registry = PluginRegistry(
        config.data_dir / "plugins_registry", {"CSIPlugin": drivers, **(handlers or {})}, clock
    )
    return NodeStorage(config, writer, drivers, csi, registry)
