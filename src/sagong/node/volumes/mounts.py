"""mount(2) and umount(2), and what is mounted where."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_SHARED = 32, 4096, 16384, 1 << 20
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


def make_directory(path: Path) -> None:
    """A directory to mount at, with its parents; for root and its group, as upstream's."""
    path.mkdir(parents=True, exist_ok=True, mode=0o750)


def bind(source: str, target: Path) -> None:
    mount(source, target, "", flags=MS_BIND)


def mounts_under(root: Path) -> list[Path]:
    """Mount points at or below a directory, innermost first (``proc(5)``, mountinfo)."""
    prefix = _real(root)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if "\\" in point:
            point = point.encode().decode("unicode_escape")
        if point == prefix or point.startswith(prefix + "/"):
            found.append(Path(point))
    return found[::-1]


def device_at(target: Path) -> Path | None:
    """The block device that is mounted at a directory, if one is."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        source = rest.split()[1]
        if fields.split()[4] == str(target) and source.startswith("/dev/"):
            return Path(source)
    return None


def share(directory: Path) -> None:
    """Let mounts below a directory reach containers, and theirs the node (Bidirectional).

    systemd shares the root of the machine; where nobody did, the directory becomes a shared mount.
    """
    if not _is_shared(directory):
        if not is_mount_point(directory):
            bind(str(directory), directory)
        mount("none", directory, "", flags=MS_SHARED | MS_REC)


def _is_shared(directory: Path) -> bool:
    """Whether the mount that holds a directory is in a peer group."""
    best, shared = "", False
    real = os.path.realpath(directory)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.partition(" - ")[0].split()
        point = fields[4]
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, shared = point, any(f.startswith("shared:") for f in fields[6:])
    return shared


def is_mount_point(target: Path) -> bool:
    """Files as well as directories, and bind mounts of the same filesystem."""
    return _real(target) in map(str, mounts_under(target))


def _real(target: Path) -> str:
    """As the kernel names it: links in the way resolved, the last part taken as it is."""
    return str(Path(os.path.realpath(target.parent), target.name))


def unmount_under(root: Path) -> None:
    """Detach everything at or below a directory."""
    unmount_all(mounts_under(root))


def unmount_all(points: Iterable[Path]) -> None:
    for point in points:
        unmount(point)
