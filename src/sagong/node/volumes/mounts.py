"""mount(2) and umount(2), and what is mounted where."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND = 32, 4096
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, filesystem: str, *, flags: int = 0, data: str = "") -> None:
    """Raises OSError."""
    result = _libc.mount(
        source.encode(), str(target).encode(), filesystem.encode(), flags, data.encode() or None
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def unmount(target: Path) -> None:
    """Detach at once; processes that still use it keep it until they close it. A target that is
    not a mount point is left as it is."""
    if _libc.umount2(str(target).encode(), MNT_DETACH) != 0:
        number = ctypes.get_errno()
        if number not in (22, 2):  # EINVAL: not a mount point; ENOENT
            raise OSError(number, os.strerror(number), str(target))


def bind(source: str, target: Path) -> None:
    mount(source, target, "", flags=MS_BIND)


def mounts_under(root: Path) -> list[Path]:
    """Mount points at or below a directory, innermost first (``proc(5)``, mountinfo)."""
    prefix = str(root)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if "\\" in point:
            point = point.encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return found[::-1]


def unmount_under(root: Path) -> None:
    """Detach everything at or below a directory."""
    unmount_all(mounts_under(root))


def unmount_all(points: Iterable[Path]) -> None:
    for point in points:
        unmount(point)
