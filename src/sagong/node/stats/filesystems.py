"""Room on filesystems, and what containers, logs and images take of it."""

import os
from dataclasses import dataclass
from pathlib import Path

from sagong.node.agent import NodeAgent
from sagong.node.cri.errors import RuntimeFailure


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
class Used:
    """What something takes of its filesystem."""

    size: int
    inodes: int


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


def used_by_files(directory: Path) -> Used:
    """The files of one directory (a container's logs)."""
    try:
        sizes = [entry.stat().st_size for entry in os.scandir(directory) if entry.is_file()]
    except OSError:
        return Used(0, 0)
    return Used(sum(sizes), len(sizes) + 1)


def used_by_tree(root: Path) -> Used:
    """A directory with everything below it that lies on the same filesystem."""
    size, inodes = 0, 1
    device = root.stat().st_dev
    for where, directories, files in os.walk(root):
        for name in (*directories, *files):
            try:
                found = os.lstat(os.path.join(where, name))
            except FileNotFoundError:
                continue  # removed meanwhile
            if found.st_dev == device:
                size, inodes = size + found.st_blocks * 512, inodes + 1
    return Used(size, inodes)


async def read_filesystems(agent: NodeAgent) -> Filesystems:
    """What a runtime that does not answer cannot tell is left out."""
    node = room_at(agent.config.data_dir)
    images, used, writable = node, Used(0, 0), {}
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
