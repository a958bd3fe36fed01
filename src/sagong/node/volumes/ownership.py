"""fsGroup: the group that owns a volume's files, as ``volume.SetVolumeOwnership``."""

import os
from pathlib import Path

_DIRECTORY_BITS = 0o2070  # set-group-id, so that new files inherit the group
_FILE_BITS = 0o060


def own_by_group(path: Path, group: int, *, only_on_mismatch: bool = False) -> None:
    """Give all of a tree to a group that may read and write it. Symbolic links are not followed.

    With ``only_on_mismatch`` (fsGroupChangePolicy OnRootMismatch) a root that already fits is
    taken as a sign that the rest does.
    """
    status = path.stat()
    fits = status.st_gid == group and status.st_mode & _DIRECTORY_BITS == _DIRECTORY_BITS
    if only_on_mismatch and fits:
        return
    _own(path, group)
    for root, directories, files in os.walk(path):
        for name in (*directories, *files):
            _own(Path(root) / name, group)


def _own(path: Path, group: int) -> None:
    if path.is_symlink():
        return
    os.chown(path, -1, group, follow_symlinks=False)
    bits = _DIRECTORY_BITS if path.is_dir() else _FILE_BITS
    path.chmod(path.stat().st_mode & 0o7777 | bits)
