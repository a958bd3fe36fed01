"""emptyDir: a directory that lives as long as the pod, on disk or in memory."""

import os

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.node.volumes import mounts
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.ownership import own_by_group


async def set_up(volume: Obj, context: VolumeContext) -> Mounted:
    source = volume["emptyDir"] or {}
    path = context.volume_dir("empty-dir", volume["name"])
    path.mkdir(parents=True, exist_ok=True)
    if source.get("medium") == "Memory" and not os.path.ismount(path):  # noqa: ASYNC240
        limit = source.get("sizeLimit")
        options = f"size={parse(limit).value}" if limit and parse(limit).value else ""
        mounts.mount("tmpfs", path, "tmpfs", data=options)
    path.chmod(0o777)
    if context.fs_group is not None:
        own_by_group(path, context.fs_group)
    return Mounted(path)
