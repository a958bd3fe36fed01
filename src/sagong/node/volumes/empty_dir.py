"""emptyDir: a directory that lives as long as the pod, on disk, in memory or in huge pages."""

import os
from collections.abc import Mapping

from sagong.api.quantities import parse
from sagong.api.types import Obj
from sagong.node.pods.failures import VolumeFailure
from sagong.node.pods.resources import pod_limits
from sagong.node.volumes import mounts
from sagong.node.volumes.context import VolumeContext
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.ownership import give_to_group

_MODE = 0o777
_MEMORY_MODE = 0o1777  # the kernel's own for a tmpfs, which upstream leaves
_HUGE_PAGES = "HugePages"


async def set_up(volume: Obj, context: VolumeContext) -> Mounted:
    source = volume["emptyDir"] or {}
    path = context.volume_dir("empty-dir", volume["name"])
    path.mkdir(parents=True, exist_ok=True)
    medium = source.get("medium") or ""
    if medium and not os.path.ismount(path):  # noqa: ASYNC240
        if medium == "Memory":
            mounts.mount("tmpfs", path, "tmpfs", data=f"size={memory_bytes(source, context)}")
        else:
            mounts.mount("nodev", path, "hugetlbfs", data=f"pagesize={_page(medium, context.pod)}")
    mode = path.stat().st_mode & 0o7777
    wanted = _MEMORY_MODE if medium == "Memory" else _MODE
    if mode & wanted != wanted:
        path.chmod(mode | wanted)
    if context.fs_group is not None:
        await give_to_group(path, context.fs_group)
    return Mounted(path)


def memory_bytes(source: Obj, context: VolumeContext) -> int:
    """The least of the volume's limit, the pod's memory limit and what the node can give."""
    bounds = [parse(context.node.allocatable["memory"]).value]
    if of_pod := pod_limits(context.pod).memory_bytes:
        bounds.append(of_pod)
    if source.get("sizeLimit") and (limit := parse(source["sizeLimit"]).value) > 0:
        bounds.append(limit)
    return min(bounds)


def _page(medium: str, pod: Obj) -> int:
    """The size of huge pages, which without a suffix is the only one that the pod requests."""
    if medium.startswith(f"{_HUGE_PAGES}-"):
        return parse(medium.removeprefix(f"{_HUGE_PAGES}-")).value
    prefix = "hugepages-"
    asked: set[str] = set()
    for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
        limits: Mapping[str, str] = (container.get("resources") or {}).get("limits") or {}
        asked |= {name.removeprefix(prefix) for name in limits if name.startswith(prefix)}
    if len(asked) != 1:
        raise VolumeFailure(
            f"medium {medium} can only be used if container requests one size of hugepages"
        )
    return parse(asked.pop()).value
