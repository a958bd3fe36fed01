"""What files take of their filesystem."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes on disk, and inodes."""

    size: int
    inodes: int


NOTHING = Used(0, 0)


def used_by_tree(root: Path) -> Used:
    """A directory with everything below it that lies on the same filesystem; none takes nothing.

    What is mounted below is not gone into: it may be large, or a server that does not answer.
    """
    try:
        found = root.stat()
    except OSError:
        return NOTHING
    size, inodes, device = found.st_blocks * 512, 1, found.st_dev
    waiting = [str(root)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue  # removed meanwhile
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if found.st_dev != device:
                continue
            size, inodes = size + found.st_blocks * 512, inodes + 1
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return Used(size, inodes)


def used_by_files(directory: Path) -> Used:
    """The files of one directory (a container's logs)."""
    try:
        sizes = [entry.stat().st_size for entry in os.scandir(directory) if entry.is_file()]
    except OSError:
        return NOTHING
    return Used(sum(sizes), len(sizes) + 1)
