"""All volumes of pods: set up, kept fresh, torn down."""

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sagong.api.errors import ApiError
from sagong.api.types import Obj
from sagong.core.tasks import task_group
from sagong.node.csi.source import source_of_inline, source_of_persistent
from sagong.node.plugins.channel import PluginFailure
from sagong.node.pods.failures import (
    ClaimFailure,
    ConfigFailure,
    NotAttached,
    VolumeFailure,
    VolumeProblem,
    VolumesNotReady,
)
from sagong.node.pods.spec import all_containers
from sagong.node.volumes import (
    empty_dir,
    expansion,
    host_path,
    image_volume,
    local_volume,
    mounts,
    network_volume,
    persistent_claim,
)
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.csi_volume import CsiMounter
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.payload import write_payload
from sagong.node.volumes.payload_sources import DEFAULT_MODE, PAYLOAD_VOLUMES

log = logging.getLogger(__name__)

# Volumes of one pod that are set up at the same time; each may ask the server for its object.
AT_ONCE = 8
SetUp = Callable[[Obj, VolumeContext], Awaitable[Mounted]]
_SOURCES: Mapping[str, SetUp] = {
    "emptyDir": empty_dir.set_up,
    "hostPath": host_path.set_up,
    "image": image_volume.set_up,
    "nfs": network_volume.set_up,
}
_FAILURES = (VolumeFailure, ConfigFailure, ApiError, OSError)


@dataclass(frozen=True, slots=True)
class PodVolumes:
    """One an agent."""

    csi: CsiMounter
    node: Callable[[], Obj]  # this node's object, as the cache has it
    runtime: image_volume.Runtime
    emit: expansion.Emit

    async def set_up(self, context: VolumeContext) -> Mapping[str, Mounted]:
        """Every volume by name. Raises VolumesNotReady; what could be set up stays so."""
        volumes = context.pod["spec"].get("volumes") or []
        mounted: dict[str, Mounted] = {}
        failed: dict[str, Exception] = {}
        free = asyncio.Semaphore(AT_ONCE)

        async def one(volume: Obj) -> None:
            async with free:
                try:
                    mounted[volume["name"]] = await self._set_up(volume, context)
                except _FAILURES as error:
                    failed[volume["name"]] = error

        async with task_group() as tasks:
            started = [tasks.start(one(v), name=f"volume {v['name']}") for v in volumes]
            for task in started:
                await task
        if failed:
            raise _not_ready(context.pod, mounted, failed)
        return mounted

    async def _set_up(self, volume: Obj, context: VolumeContext) -> Mounted:
        if persistent_claim.claim_name(volume, context.pod) is not None:
            return await self._set_up_claim(volume, context)
        if "csi" in volume:
            return await self.csi.set_up(source_of_inline(volume, context.pod), context)
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

    async def _set_up_claim(self, volume: Obj, context: VolumeContext) -> Mounted:
        claimed = await persistent_claim.resolve(volume, context)
        persistent_claim.check_node(claimed, self.node())
        spec = claimed.persistent["spec"]
        if "csi" in spec:
            source = source_of_persistent(claimed.persistent, read_only=claimed.read_only)
            mounted = await self.csi.set_up(source, context)
        elif "nfs" in spec:
            mounted = await network_volume.set_up_claimed(claimed, context)
        else:
            mounted = await local_volume.set_up(claimed, context)
        await expansion.expand_if_wanted(claimed, mounted, context, self.csi, self.emit)
        return mounted

    async def refresh(self, context: VolumeContext) -> None:
        """Bring files made of API objects up to date, and volumes to their claims' new sizes.

        What fails is left as it was: the pod goes on with what it has.
        """
        for volume in context.pod["spec"].get("volumes") or []:
            try:
                await self._refresh(volume, context)
            except _FAILURES as error:
                log.info("volume %s of %s: %s", volume["name"], context.directory.name, error)

    async def _refresh(self, volume: Obj, context: VolumeContext) -> None:
        for field in PAYLOAD_VOLUMES:
            if field in volume:
                await _set_up_payload(field, volume, context)
        if "csi" in volume:
            await self.csi.republish(source_of_inline(volume, context.pod), context)
        if persistent_claim.claim_name(volume, context.pod) is None:
            return
        claimed = await persistent_claim.resolve(volume, context)
        if "csi" in claimed.persistent["spec"]:
            source = source_of_persistent(claimed.persistent, read_only=claimed.read_only)
            await self.csi.republish(source, context)
        if expansion.is_wanted(claimed):
            await self._set_up_claim(volume, context)

    async def tear_down(self, pod_dir: Path) -> None:
        """Unmount everything of a pod and remove its volumes; may be repeated.

        A directory is removed only once nothing is mounted below it, and never across one: what a
        hostPath or a claim leads to must not be deleted. Raises OSError and PluginFailure.
        """
        mounts.unmount_under(pod_dir / "volume-subpaths")
        await image_volume.unmount_images(self.runtime, pod_dir)
        await self.csi.tear_down(pod_dir.name)
        mounts.unmount_under(pod_dir)
        if mounts.mounts_under(pod_dir):
            raise OSError(f"still mounted below {pod_dir}")
        for name in ("volumes", "volume-subpaths"):
            await asyncio.to_thread(_remove_tree, pod_dir / name)

    async def remove(self, pod_dir: Path) -> None:
        """Tear down, and remove what else the pod has on disk."""
        await self.tear_down(pod_dir)
        await asyncio.to_thread(_remove_tree, pod_dir)


def _remove_tree(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _not_ready(
    pod: Obj, mounted: Mapping[str, Mounted], failed: Mapping[str, Exception]
) -> VolumesNotReady:
    """Upstream's events: one for each volume; one for all whose claims are the reason."""
    problems, unknown = [], {}
    for name, error in failed.items():
        if isinstance(error, ClaimFailure):
            unknown[name] = error
        elif not isinstance(error, NotAttached):
            failure = error if isinstance(error, VolumeFailure) else VolumeFailure(str(error))
            problems.append(VolumeProblem(failure.reason, failure.event_text(name)))
    if unknown:
        reasons = "; ".join(str(error) for error in unknown.values())
        unmounted = _listed(_used_volumes(pod) - set(mounted))
        text = (
            f"Unable to attach or mount volumes: unmounted volumes={unmounted}, unattached "
            f"volumes=[], failed to process volumes={_listed(set(unknown))}: {reasons}"
        )
        problems.append(VolumeProblem(VolumeFailure.reason, text))
    return VolumesNotReady(problems, is_waiting=not problems)


def _listed(names: set[str]) -> str:
    return f"[{' '.join(sorted(names))}]"


def _used_volumes(pod: Obj) -> set[str]:
    return {
        use["name"]
        for _, container in all_containers(pod)
        for field in ("volumeMounts", "volumeDevices")
        for use in container.get(field) or []
    }


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
        mounts.mount("tmpfs", directory, "tmpfs", data="mode=1777")


__all__ = ["PluginFailure", "PodVolumes"]
