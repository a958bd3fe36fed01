"""All volumes of one pod: set up, kept fresh, torn down."""

import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from sagong.api.errors import ApiError
from sagong.api.types import Obj
from sagong.node.pods.failures import ConfigFailure, VolumeFailure
from sagong.node.volumes import empty_dir, host_path, mounts, persistent_claim
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.payload import write_payload
from sagong.node.volumes.payload_sources import DEFAULT_MODE, PAYLOAD_VOLUMES

log = logging.getLogger(__name__)

SetUp = Callable[[Obj, VolumeContext], Awaitable[Mounted]]
_SOURCES: Mapping[str, SetUp] = {
    "emptyDir": empty_dir.set_up,
    "hostPath": host_path.set_up,
    "persistentVolumeClaim": persistent_claim.set_up,
    "ephemeral": persistent_claim.set_up,
}


async def set_up(context: VolumeContext) -> Mapping[str, Mounted]:
    """Every volume by name. Raises VolumeFailure with upstream's FailedMount text."""
    mounted = {}
    for volume in context.pod["spec"].get("volumes") or []:
        try:
            mounted[volume["name"]] = await _set_up(volume, context)
        except (VolumeFailure, ConfigFailure, ApiError, OSError) as error:
            text = f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
            raise VolumeFailure(text) from error
    return mounted


async def _set_up(volume: Obj, context: VolumeContext) -> Mounted:
    for field, make in _SOURCES.items():
        if field in volume:
            return await make(volume, context)
    for field in PAYLOAD_VOLUMES:
        if field in volume:
            return await _set_up_payload(field, volume, context)
    if len(volume) == 1:  # nothing but a name: upstream's default source
        return await empty_dir.set_up({**volume, "emptyDir": {}}, context)
    kinds = ", ".join(field for field in volume if field != "name")
    raise VolumeFailure(f"no volume plugin matched ({kinds})")


async def _set_up_payload(field: str, volume: Obj, context: VolumeContext) -> Mounted:
    plugin, make, in_memory = PAYLOAD_VOLUMES[field]
    source = volume[field]
    payload = await make(source, context, source.get("defaultMode", DEFAULT_MODE))
    directory = context.volume_dir(plugin, volume["name"])
    if in_memory:
        _mount_memory(directory)
    write_payload(directory, payload, now=context.clock.now(), group=context.fs_group)
    return Mounted(directory, read_only=True)


def _mount_memory(directory: Path) -> None:
    """Secrets touch no disk."""
    directory.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(directory):
        mounts.mount("tmpfs", directory, "tmpfs", data="mode=0755")


async def refresh(context: VolumeContext) -> bool:
    """Bring files made of API objects up to date; whether any volume is of that kind.

    What fails is left as it was: the pod goes on with what it has.
    """
    has_any = False
    for volume in context.pod["spec"].get("volumes") or []:
        for field in PAYLOAD_VOLUMES:
            if field not in volume:
                continue
            has_any = True
            try:
                await _set_up_payload(field, volume, context)
            except (VolumeFailure, ConfigFailure, ApiError, OSError) as error:
                log.info("volume %s of %s: %s", volume["name"], context.directory.name, error)
    return has_any


def tear_down(pod_dir: Path) -> None:
    """Unmount everything of a pod and remove its volumes; may be repeated. Raises OSError.

    A directory is removed only once nothing is mounted below it, and never across one: what a
    hostPath or a claim leads to must not be deleted.
    """
    mounts.unmount_under(pod_dir)
    if mounts.mounts_under(pod_dir):
        raise OSError(f"still mounted below {pod_dir}")
    for name in ("volumes", "volume-subpaths"):
        if (pod_dir / name).exists():
            shutil.rmtree(pod_dir / name)


def remove(pod_dir: Path) -> None:
    """Tear down, and remove what else the pod has on disk."""
    tear_down(pod_dir)
    if pod_dir.exists():
        shutil.rmtree(pod_dir)
