"""PersistentVolumes that lie on this node: local directories and disks, and hostPath."""

import os
import stat
from pathlib import Path

from sagong.api.types import Obj
from sagong.api.volumes import PROVISIONED_BY
from sagong.node.pods.failures import DeviceFailure, MapFailure, VolumeFailure
from sagong.node.programs import ProgramFailure, run_program
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.host_path import check_path
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.mounts import make_directory
from sagong.node.volumes.ownership import give_to_group
from sagong.node.volumes.persistent_claim import Claimed

_DEFAULT_FILESYSTEM = "ext4"


async def set_up(claimed: Claimed, context: VolumeContext) -> Mounted:
    """Raises VolumeFailure, also for volumes of other kinds."""
    spec = claimed.persistent["spec"]
    if "hostPath" in spec:
        path = Path(spec["hostPath"]["path"])
        check_path(path, spec["hostPath"].get("type") or "")
        return Mounted(path, read_only=claimed.read_only, group=claimed.group)
    if "local" not in spec:
        kinds = ", ".join(key for key in spec if isinstance(spec[key], dict) and key != "claimRef")
        raise VolumeFailure(f"no volume plugin matched (spec of {kinds})")
    path = Path(spec["local"]["path"])
    if claimed.is_block:
        return Mounted(_checked_device(path), read_only=claimed.read_only, is_device=True)
    if _is_block_device(path):
        path = await _mount_device(path, claimed, context)
    else:
        _check_directory(path, claimed.persistent)
    if context.fs_group is not None and path.is_dir() and not claimed.read_only:
        await give_to_group(path, context.fs_group, only_on_mismatch=context.only_on_mismatch)
    return Mounted(path, read_only=claimed.read_only, group=claimed.group)


def _check_directory(path: Path, persistent: Obj) -> None:
    # A provisioner that has no process on this node leaves the directory to its first use.
    if PROVISIONED_BY in (persistent["metadata"].get("annotations") or {}):
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise VolumeFailure(f'path "{path}" does not exist')


def _is_block_device(path: Path) -> bool:
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _checked_device(path: Path) -> Path:
    if not path.exists():
        raise MapFailure(f'path "{path}" does not exist')
    if not _is_block_device(path):
        raise MapFailure(f'path "{path}" is not a block device')
    return path


async def _mount_device(device: Path, claimed: Claimed, context: VolumeContext) -> Path:
    """A disk's filesystem, made if there is none, below the pod's directory.

    Several pods of one node mount the same filesystem: the kernel shares it.
    """
    spec = claimed.persistent["spec"]
    target = context.volume_dir("local-volume", claimed.name)
    if os.path.ismount(target):  # noqa: ASYNC240
        return target
    wanted = spec["local"].get("fsType") or ""
    try:
        found = await filesystem_of(device)
        if not found and not claimed.read_only:
            found = wanted or _DEFAULT_FILESYSTEM
            await make_filesystem(device, found)
        make_directory(target)
        options = [*(spec.get("mountOptions") or ()), *(("ro",) if claimed.read_only else ())]
        flags = ("-o", ",".join(options)) if options else ()
        await run_program("mount", "-t", wanted or found, *flags, str(device), str(target))
    except ProgramFailure as error:
        raise DeviceFailure(
            f"local: failed to mount device {device} at {target} : {error}"
        ) from error
    return target


async def filesystem_of(device: Path) -> str:
    """What ``blkid`` sees on a device; "" if it is empty. Raises ProgramFailure."""
    try:
        shown = await run_program("blkid", "-p", "-s", "TYPE", "-o", "value", str(device))
    except ProgramFailure as error:
        if error.code == 2:  # nothing that it knows
            return ""
        raise
    return shown.strip()


async def make_filesystem(device: Path, kind: str) -> None:
    """Raises ProgramFailure. Flags are upstream's: no check by mount count, no reserved blocks."""
    flags = ("-F", "-m0") if kind in ("ext3", "ext4") else ()
    await run_program(f"mkfs.{kind}", *flags, str(device))


async def grow_filesystem(device: Path, kind: str, mount_point: Path) -> None:
    """To the size of its device, while it is mounted. Raises ProgramFailure."""
    match kind:
        case "ext3" | "ext4":
            await run_program("resize2fs", str(device))
        case "xfs":
            await run_program("xfs_growfs", str(mount_point))
        case "btrfs":
            await run_program("btrfs", "filesystem", "resize", "max", str(mount_point))
        case _:
            raise ProgramFailure(f"resize of format {kind} is not supported", 1)
