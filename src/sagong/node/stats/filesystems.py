"""Room on filesystems, and what containers, logs and images take of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from sagong.node.agent import NodeAgent
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.disk_usage import NOTHING, Used


@dataclass(frozen=True, slots=True)
class Room:
    """A filesystem as a whole; bytes and inodes."""

    capacity: int
    available: int
    inodes: int
    inodes_free: int

    @property
    def used(self) -> int:
        return self.capacity - self.available


@dataclass(frozen=True, slots=True)
class Filesystems:
    """One look at everything on disk. Container ids are the runtime's."""

    node: Room
    images: Room
    images_used: Used
    writable: dict[str, Used]


def room_at(path: Path) -> Room:
    """The filesystem of a path; of its nearest parent if there is no such path."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return Room(
        found.f_blocks * found.f_frsize,
        found.f_bavail * found.f_frsize,
        found.f_files,
        found.f_favail,
    )


async def read_filesystems(agent: NodeAgent) -> Filesystems:
    """What a runtime that does not answer cannot tell is left out."""
    node = room_at(agent.config.data_dir)
    images, used, writable = node, NOTHING, {}
    try:
        for filesystem in await agent.cri.image_filesystems():
            images = room_at(Path(filesystem.fs_id.mountpoint))
            used = Used(filesystem.used_bytes.value, filesystem.inodes_used.value)
        answer = await agent.cri.call("ListContainerStats", filter={})
        for stats in answer.stats:
            layer = stats.writable_layer
            writable[stats.attributes.id] = Used(layer.used_bytes.value, layer.inodes_used.value)
    except RuntimeFailure:
        return Filesystems(node, images, used, writable)
    return Filesystems(node, images, used, writable)
