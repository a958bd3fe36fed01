"""subPath: a file or directory inside a volume, opened so that nothing leads out of it.

The kernel resolves the path with openat2(2) beneath the volume's own descriptor: links inside the
volume work (configMap volumes are made of them), absolute ones and those that climb out do not.
Directories that are missing are made one by one from open descriptors. The mount is made from the
descriptor: what is bound is what was checked, whatever happens to names meanwhile.
"""

import ctypes
import errno
import os
import platform
import stat
from pathlib import Path, PurePosixPath

from sagong.node.pods.failures import ConfigFailure
from sagong.node.volumes import mounts

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    """``struct open_how``."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def check(sub_path: str) -> None:
    """Refuse absolute paths and ``..``. Raises ConfigFailure."""
    path = PurePosixPath(sub_path)
    if path.is_absolute():
        raise ConfigFailure(f"error SubPath `{sub_path}` must not be an absolute path")
    if ".." in path.parts:
        raise ConfigFailure(f"unable to provision SubPath `{sub_path}`: must not contain '..'")


def bind_sub_path(volume: Path, sub_path: str, target: Path, *, is_read_only: bool = False) -> Path:
    """Bind ``volume/sub_path`` to ``target``, making missing directories unless the volume is
    read-only: with the mode of the volume's root, so that whoever may write there may here.

    Returns the target. Raises ConfigFailure for a path that cannot be one, OSError for one that
    leaves the volume (EXDEV) or is not there.
    """
    check(sub_path)
    root = os.open(os.path.realpath(volume), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = _open_inside(root, sub_path, may_make=not is_read_only)
    finally:
        os.close(root)
    try:
        _make_target(target, is_directory=stat.S_ISDIR(os.fstat(descriptor).st_mode))
        mounts.bind(f"/proc/self/fd/{descriptor}", target)
    finally:
        os.close(descriptor)
    return target


def _open_inside(root: int, sub_path: str, *, may_make: bool) -> int:
    """A descriptor (O_PATH) of the place. Raises OSError; EXDEV if it is outside."""
    try:
        return _open_beneath(root, sub_path, os.O_PATH)
    except FileNotFoundError:
        if not may_make:
            raise
    made, mode = "", stat.S_IMODE(os.fstat(root).st_mode)
    for part in PurePosixPath(sub_path).parts:
        parent = _open_beneath(root, made or ".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.mkdir(part, mode, dir_fd=parent)
        except FileExistsError:
            pass
        else:
            _set_mode(part, mode, parent)
        finally:
            os.close(parent)
        made = f"{made}/{part}" if made else part
    return _open_beneath(root, sub_path, os.O_PATH)


def _set_mode(name: str, mode: int, directory: int) -> None:
    """Of a directory that was just made, whatever the umask; not of a link that took its place."""
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    try:
        os.fchmod(made, mode)
    finally:
        os.close(made)


def _open_beneath(root: int, path: str, flags: int) -> int:
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    result = _libc.syscall(_OPENAT2, root, path.encode(), ctypes.byref(how), ctypes.sizeof(how))
    if result < 0:
        number = ctypes.get_errno()
        if number == errno.ENOSYS:
            raise OSError(number, f"the kernel {platform.release()} has no openat2")
        raise OSError(number, os.strerror(number), path)
    return int(result)


def _make_target(target: Path, *, is_directory: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if mounts.is_mount_point(target):
        mounts.unmount(target)
    if target.exists() and target.is_dir() != is_directory:
        target.rmdir() if target.is_dir() else target.unlink()
    if is_directory:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
