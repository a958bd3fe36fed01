"""image: the files of an OCI image or artifact, read-only.

A runtime that knows image mounts is told the image in the container's mount (containerd from 2.1,
CRI-O from 1.31). An older containerd is asked, by its own command, for a view of the image's
layers in the pod's directory: the container binds that.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.node.pods.failures import CreateFailure
from sagong.node.programs import ProgramFailure, run_program
from sagong.node.volumes import mounts
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted

_IMAGE_MOUNTS_SINCE = {"containerd": (2, 1), "cri-o": (1, 31)}
_NAMESPACE = "k8s.io"  # containerd's, of what the CRI makes
_PLUGIN_DIRECTORY = "kubernetes.io~image"


@dataclass(frozen=True, slots=True)
class Runtime:
    """Who runs the containers."""

    name: str
    version: str
    endpoint: str
    makes_recursive_read_only: bool = False

    @property
    def mounts_images(self) -> bool:
        since = _IMAGE_MOUNTS_SINCE.get(self.name)
        numbers = tuple(int(n) for n in re.findall(r"\d+", self.version)[:2])
        return since is not None and numbers >= since

    @property
    def socket(self) -> str:
        return self.endpoint.removeprefix("unix://")


async def set_up(volume: Obj, context: VolumeContext) -> Mounted:
    """The image is pulled when a container that mounts it starts."""
    path = context.volume_dir("image", volume["name"])
    return Mounted(path, read_only=True, image=volume["image"])


async def mount_image(
    runtime: Runtime, source: Obj, target: Path, pull: Callable[[Obj], Awaitable[Any]]
) -> str:
    """The id by which the runtime mounts the image; "" if it lies at ``target`` now.

    Raises CreateFailure, and what ``pull`` raises.
    """
    wanted = {"image": source["reference"], "imagePullPolicy": source.get("pullPolicy") or ""}
    image = await pull(wanted)
    if runtime.mounts_images:
        return str(image.id)
    if runtime.name != "containerd":
        raise CreateFailure(f"{runtime.name} {runtime.version} cannot mount image volumes")
    if not mounts.is_mount_point(target):
        mounts.make_directory(target)
        name = next(iter([*image.repo_tags, *image.repo_digests]), image.id)
        try:
            await _ctr(runtime, "images", "mount", name, str(target))
        except ProgramFailure as error:
            raise CreateFailure(f"cannot mount image {name}: {error}") from error
    return ""


async def unmount_images(runtime: Runtime, pod_dir: Path) -> None:
    """Views that ``mount_image`` has made for a pod; may be repeated."""
    directory = pod_dir / "volumes" / _PLUGIN_DIRECTORY
    for target in directory.iterdir() if directory.is_dir() else ():
        mounts.unmount(target)
        try:
            await _ctr(runtime, "snapshots", "rm", str(target))
        except ProgramFailure as error:
            if "not found" not in str(error):
                raise OSError(f"cannot remove the view of {target.name}: {error}") from error
        target.rmdir()


async def _ctr(runtime: Runtime, *arguments: str) -> None:
    await run_program("ctr", "--address", runtime.socket, "--namespace", _NAMESPACE, *arguments)
