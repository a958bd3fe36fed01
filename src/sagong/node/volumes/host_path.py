"""hostPath: a file or directory of the node, checked or made as its type says."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from sagong.api.types import Obj
from sagong.node.pods.failures import VolumeFailure
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


async def set_up(volume: Obj, context: VolumeContext) -> Mounted:
    source = volume["hostPath"]
    path = Path(source["path"])
    check_path(path, source.get("type") or "")
    return Mounted(path)


def check_path(path: Path, type_: str) -> None:
    """Make or check what the type asks for. Raises VolumeFailure."""
    if type_ == "DirectoryOrCreate":
        _make_directory(path)
        type_ = "Directory"
    elif type_ == "FileOrCreate":
        _make_file(path)
        type_ = "File"
    if not type_:
        return
    holds, what = _CHECKS[type_]
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    if not holds(mode):
        raise VolumeFailure(f"hostPath type check failed: {path} is not {what}")


def _make_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o755)


def _make_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return
    except OSError as error:
        raise VolumeFailure(f"hostPath cannot be made: {error}") from error
