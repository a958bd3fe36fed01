"""One registered CSI driver: the Node service, typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sagong.core.protobuf import MessageSet
from sagong.node.plugins.channel import PluginChannel

STAGE_UNSTAGE = "STAGE_UNSTAGE_VOLUME"
VOLUME_STATS = "GET_VOLUME_STATS"
EXPAND = "EXPAND_VOLUME"
VOLUME_CONDITION = "VOLUME_CONDITION"
SINGLE_NODE_MULTI_WRITER = "SINGLE_NODE_MULTI_WRITER"
MOUNT_GROUP = "VOLUME_MOUNT_GROUP"

_CAPABILITY = "NodeServiceCapability.RPC.Type"
_CAPABILITIES = (
    STAGE_UNSTAGE, VOLUME_STATS, EXPAND, VOLUME_CONDITION, SINGLE_NODE_MULTI_WRITER, MOUNT_GROUP,
)  # fmt: skip


@cache
def csi_messages() -> MessageSet:
    return MessageSet.load("csi.v1", __package__, "csi_v1.json")


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """The node as the driver knows it."""

    node_id: str
    volumes_max: int  # 0: no bound
    topology: Mapping[str, str]


class CsiDriver:
    """Calls raise PluginFailure."""

    def __init__(self, name: str, endpoint: Path) -> None:
        self.name = name
        self.channel = PluginChannel(endpoint, csi_messages(), "Node")
        self._capabilities: frozenset[str] | None = None

    async def close(self) -> None:
        await self.channel.close()

    async def info(self) -> NodeInfo:
        answer = await self.channel.call("NodeGetInfo")
        topology = dict(answer.accessible_topology.segments)
        return NodeInfo(answer.node_id, int(answer.max_volumes_per_node), topology)

    async def can(self, capability: str) -> bool:
        """Asked of the driver once."""
        if self._capabilities is None:
            answer = await self.channel.call("NodeGetCapabilities")
            numbers = {c.rpc.type for c in answer.capabilities}
            self._capabilities = frozenset(
                name
                for name in _CAPABILITIES
                if csi_messages().enum_number(_CAPABILITY, name) in numbers
            )
        return capability in self._capabilities

    async def stage(self, **fields: Any) -> None:
        await self.channel.call("NodeStageVolume", **fields)

    async def unstage(self, handle: str, staging: Path) -> None:
        await self.channel.call(
            "NodeUnstageVolume", volume_id=handle, staging_target_path=str(staging)
        )

    async def publish(self, **fields: Any) -> None:
        await self.channel.call("NodePublishVolume", **fields)

    async def unpublish(self, handle: str, target: Path) -> None:
        await self.channel.call("NodeUnpublishVolume", volume_id=handle, target_path=str(target))

    async def expand(self, **fields: Any) -> int:
        """The capacity it has now, 0 if the driver does not say."""
        return int((await self.channel.call("NodeExpandVolume", **fields)).capacity_bytes)

    async def stats(self, handle: str, path: Path, staging: Path | None) -> Any:
        """NodeGetVolumeStatsResponse."""
        return await self.channel.call(
            "NodeGetVolumeStats",
            volume_id=handle,
            volume_path=str(path),
            staging_target_path=str(staging) if staging else "",
        )
