"""fsGroup: the group that owns a volume's files, as ``volume.SetVolumeOwnership``."""

import asyncio
import os
import stat
from pathlib import Path

# Read and write for the owner and the group; directories can be entered, and hand on their group.
_DIRECTORY_BITS = 0o2770
_FILE_BITS = 0o660


async def give_to_group(path: Path, group: int, *, only_on_mismatch: bool = False) -> None:
    """``own_by_group`` in a thread: a volume may have millions of files."""
    await asyncio.to_thread(own_by_group, path, group, only_on_mismatch=only_on_mismatch)


def own_by_group(path: Path, group: int, *, only_on_mismatch: bool = False) -> None:
    """Give all of a tree to a group that may read and write it.

    With ``only_on_mismatch`` (fsGroupChangePolicy OnRootMismatch) a root that already fits is
    taken as a sign that the rest does. Pods may change the tree meanwhile: everything is reached
    from open directories, and no symbolic link is followed.
    """
    status = path.stat()
    fits = status.st_gid == group and status.st_mode & _DIRECTORY_BITS == _DIRECTORY_BITS
    if only_on_mismatch and fits:
        return
    for _, directories, files, descriptor in os.fwalk(path):
        os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) | _DIRECTORY_BITS)
        for name in (*directories, *files):
            _own_entry(name, descriptor, group)


def _own_entry(name: str, directory: int, group: int) -> None:
    """A file, or a link; directories have their own turn."""
    try:
        opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return  # removed meanwhile
    try:
        mode = os.fstat(opened).st_mode
        if stat.S_ISLNK(mode):
            os.chown(name, -1, group, dir_fd=directory, follow_symlinks=False)
        elif not stat.S_ISDIR(mode):
            link = f"/proc/self/fd/{opened}"
            os.chown(link, -1, group)
            os.chmod(link, stat.S_IMODE(mode) | _FILE_BITS)
    finally:
        os.close(opened)
