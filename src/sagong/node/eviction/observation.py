"""Reading what is left on the node and what each pod uses."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from sagong.api.types import Obj
from sagong.node.cri.client import CriClient
from sagong.node.cri.errors import RuntimeFailure
from sagong.node.disk_usage import NOTHING, used_by_tree
from sagong.node.eviction.ranking import Candidate, Usage
from sagong.node.eviction.thresholds import Reading, Signal
from sagong.node.machine import memory_available, processes
from sagong.node.pods.cgroups import CgroupTree
from sagong.node.pods.model import SeenPod
from sagong.node.pods.spec import qos_class
from sagong.node.stats.figures import CgroupFiles


def read_signals(data_dir: Path, images: Path | None) -> Mapping[Signal, Reading]:
    """``images`` is where the runtime keeps images and writable layers, if it tells."""
    node = os.statvfs(_existing(data_dir))
    kept = os.statvfs(_existing(images)) if images is not None else node
    memory, running = memory_available(), processes()
    return {
        Signal.MEMORY: Reading(memory.available, memory.total),
        Signal.PIDS: Reading(max(0, running.limit - running.now), running.limit),
        Signal.NODE_DISK: _bytes(node),
        Signal.NODE_INODES: Reading(node.f_favail, node.f_files),
        Signal.IMAGE_DISK: _bytes(kept),
        Signal.IMAGE_INODES: Reading(kept.f_favail, kept.f_files),
    }


def _bytes(found: os.statvfs_result) -> Reading:
    return Reading(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


async def image_directory(cri: CriClient) -> Path | None:
    """Where the runtime keeps images; None if it does not answer."""
    try:
        found = await cri.image_filesystems()
    except RuntimeFailure:
        return None
    return Path(found[0].fs_id.mountpoint) if found else None


async def writable_layers(cri: CriClient) -> Mapping[str, tuple[int, int]]:
    """Bytes and inodes of each container's own layer, by container id."""
    try:
        answer = await cri.call("ListContainerStats", filter={})
    except RuntimeFailure:
        return {}
    return {
        stats.attributes.id: (
            stats.writable_layer.used_bytes.value,
            stats.writable_layer.inodes_used.value,
        )
        for stats in answer.stats
    }


def candidates(
    pods: Iterable[tuple[Obj, SeenPod, Path]],
    cgroups: CgroupTree,
    files: CgroupFiles,
    layers: Mapping[str, tuple[int, int]],
) -> list[Candidate]:
    """Each pod, given with what is seen of it and its directory, with what it uses."""
    return [
        Candidate(pod, _usage(pod, seen, directory, cgroups, files, layers))
        for pod, seen, directory in pods
    ]


def _usage(
    pod: Obj,
    seen: SeenPod,
    directory: Path,
    cgroups: CgroupTree,
    files: CgroupFiles,
    layers: Mapping[str, tuple[int, int]],
) -> Usage:
    path = cgroups.parent_of(seen.uid, qos_class(pod)).strip("/")
    containers = {}
    for container in seen.running:
        figures = files.read(f"{path}/{container.id}")
        layer_bytes, layer_inodes = layers.get(container.id, (0, 0))
        logs = used_by_tree(Path(container.log_path).parent) if container.log_path else NOTHING
        containers[container.name] = Usage(
            memory=figures.working_set if figures else 0,
            disk=layer_bytes + logs.size,
            inodes=layer_inodes + logs.inodes,
            processes=figures.processes if figures else 0,
        )
    volumes, inodes = _empty_dirs(pod, directory)
    whole = files.read(path)
    return Usage(
        memory=whole.working_set if whole else 0,
        disk=sum(u.disk for u in containers.values()) + sum(volumes.values()),
        inodes=sum(u.inodes for u in containers.values()) + inodes,
        processes=whole.processes if whole else 0,
        containers=containers,
        volumes=volumes,
    )


def _empty_dirs(pod: Obj, directory: Path) -> tuple[dict[str, int], int]:
    """Bytes by volume, and inodes of all; those in memory count as memory."""
    sizes, inodes = {}, 0
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("emptyDir")
        if source is None or (source or {}).get("medium") == "Memory":
            continue
        path = directory / "volumes" / "kubernetes.io~empty-dir" / volume["name"]
        used = used_by_tree(path)
        sizes[volume["name"]] = used.size
        inodes += used.inodes
    return sizes, inodes
