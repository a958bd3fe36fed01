"""What is mounted into a container: volumes, sub-paths, devices, files of the pod's own."""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.core.ids import Ids
from sagong.node.config import NodeConfig
from sagong.node.pods.container_config import DevicePlan, MountPlan, mount_path, sub_path_of
from sagong.node.pods.failures import ConfigFailure
from sagong.node.pods.lifecycle import StartContainer
from sagong.node.pods.naming import hosts_file
from sagong.node.volumes.image_volume import Runtime, mount_image
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.sub_path import bind_sub_path

log = logging.getLogger(__name__)

Pull = Callable[[Obj], Awaitable[Any]]  # of an image volume; the runtime's Image


@dataclass(frozen=True, slots=True)
class ContainerMounts:
    """One an agent."""

    config: NodeConfig
    ids: Ids
    runtime: Runtime

    async def plan(
        self,
        pod: Obj,
        container: Obj,
        action: StartContainer,
        volumes: Mapping[str, Mounted],
        environment: Mapping[str, str],
        pull: Pull,
    ) -> list[MountPlan]:
        """Mounts of volumes, in the spec's order. Raises StartFailure."""
        plans = []
        for index, mount in enumerate(container.get("volumeMounts") or []):
            volume = volumes.get(mount["name"])
            if volume is None:
                raise ConfigFailure(f'cannot find volume "{mount["name"]}" to mount into container')
            image = ""
            if volume.image is not None:
                image = await mount_image(self.runtime, volume.image, volume.path, pull)
            path, sub_path = volume.path, sub_path_of(mount, environment)
            if sub_path and not image:
                place = Path("volume-subpaths", mount["name"], action.name, str(index))
                target = self.config.pod_dir(pod["metadata"]["uid"]) / place
                path = _sub_path(container, mount["name"], volume, sub_path, target)
            plans.append(
                MountPlan(
                    host_path="" if image else str(path),
                    container_path=mount_path(mount["mountPath"]),
                    read_only=bool(mount.get("readOnly")) or volume.read_only,
                    propagation=mount.get("mountPropagation") or "None",
                    recursive_read_only=recursive_read_only(
                        mount, is_supported=self.runtime.makes_recursive_read_only
                    ),
                    image=image,
                    image_sub_path=sub_path if image else "",
                )
            )
        return plans

    def devices(self, container: Obj, volumes: Mapping[str, Mounted]) -> list[DevicePlan]:
        """Block devices that the container gets. Raises ConfigFailure."""
        plans = []
        for device in container.get("volumeDevices") or []:
            volume = volumes.get(device["name"])
            if volume is None or not volume.is_device:
                raise ConfigFailure(f'cannot find volume "{device["name"]}" to pass into container')
            permissions = "r" if volume.read_only else "mrw"
            real = os.path.realpath(volume.path)
            plans.append(DevicePlan(real, device["devicePath"], permissions))
        return plans

    def own_files(
        self,
        pod: Obj,
        container: Obj,
        action: StartContainer,
        pod_ips: Sequence[str],
        taken: set[str],
    ) -> list[MountPlan]:
        """/etc/hosts and the termination log, unless a volume is mounted there."""
        pod_dir = self.config.pod_dir(pod["metadata"]["uid"])
        plans = []
        if "/etc/hosts" not in taken:
            of_node = read_text(Path("/etc/hosts"))
            text = hosts_file(pod, pod_ips, self.config.cluster_domain, of_node)
            path = pod_dir / "etc-hosts"
            _write_once(path, text, 0o644)
            plans.append(MountPlan(str(path), "/etc/hosts"))
        wanted = container.get("terminationMessagePath")
        if wanted and wanted not in taken:
            path = pod_dir / "containers" / action.name / self.ids.suffix(8)
            _write_once(path, "", 0o666)
            plans.append(MountPlan(str(path), wanted))
        return plans


def _sub_path(
    container: Obj, volume_name: str, volume: Mounted, sub_path: str, target: Path
) -> Path:
    """Raises ConfigFailure that tells nothing of the node's files, as upstream's."""
    try:
        return bind_sub_path(volume.path, sub_path, target, is_read_only=volume.read_only)
    except OSError as error:
        log.warning("subPath %s of volume %s: %s", sub_path, volume_name, error)
        raise ConfigFailure(
            f'failed to prepare subPath for volumeMount "{volume_name}" of container '
            f'"{container["name"]}"'
        ) from error


def recursive_read_only(mount: Obj, *, is_supported: bool) -> bool:
    """Whether mounts below the volume are read-only too. Raises ConfigFailure, upstream's words."""
    mode = mount.get("recursiveReadOnly") or "Disabled"
    if mode == "Disabled":
        return False
    about = f'volume "{mount["name"]}" requested recursive read-only mode, but it is not'
    if not mount.get("readOnly"):
        raise ConfigFailure(f"{about} read-only")
    propagation = mount.get("mountPropagation") or "None"
    if propagation != "None":
        raise ConfigFailure(f'{about} compatible with propagation "{propagation}"')
    if mode == "Enabled" and not is_supported:
        raise ConfigFailure(f"{about} supported by the runtime")
    return is_supported


def read_text(path: Path) -> str:
    """ "" if there is no such file."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _write_once(path: Path, text: str, mode: int) -> None:
    """Write a file that a container may have bound: the same inode, whatever it held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    path.chmod(mode)
