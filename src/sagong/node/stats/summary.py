"""``/stats/summary``: the kubelet's ``stats/v1alpha1 Summary``. Pure but for the sizes of logs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sagong.api.types import Obj
from sagong.core.clock import format_time
from sagong.node.disk_usage import Used, used_by_files
from sagong.node.pods.model import SeenContainer
from sagong.node.stats.filesystems import Filesystems, Room
from sagong.node.stats.network import Interface
from sagong.node.stats.samples import NodeSample, PodSample, Sample


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What does not change."""

    name: str
    memory_bytes: int
    started_at: float
    pids_max: int
    pids: int


def summary(sample: NodeSample, filesystems: Filesystems, facts: NodeFacts) -> Obj:
    """The whole answer."""
    now = format_time(sample.node.at)
    images = {
        **_room(filesystems.images, now),
        "usedBytes": filesystems.images_used.size,
        "inodesUsed": filesystems.images_used.inodes,
    }
    return {
        "node": {
            "nodeName": facts.name,
            "startTime": format_time(facts.started_at),
            "cpu": _cpu(sample.node),
            "memory": _memory(sample.node, facts.memory_bytes),
            "network": _network(sample.interfaces, now),
            "fs": _room(filesystems.node, now),
            "runtime": {"imageFs": images, "containerFs": images},
            "rlimit": {"time": now, "maxpid": facts.pids_max, "curproc": facts.pids},
        },
        "pods": [_pod(pod, filesystems) for pod in sample.pods],
    }


def _pod(pod: PodSample, filesystems: Filesystems) -> Obj:
    now = format_time(pod.whole.at)
    containers = []
    total = Used(0, 0)
    for name, (container, sample) in pod.containers.items():
        layer = filesystems.writable.get(container.id, Used(0, 0))
        logs = used_by_files(Path(container.log_path).parent)
        total = Used(total.size + layer.size + logs.size, total.inodes + layer.inodes + logs.inodes)
        containers.append(_container(name, container, sample, layer, logs, filesystems))
    found: Obj = {
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": format_time(pod.started_at),
        "containers": containers,
        "cpu": _cpu(pod.whole),
        "memory": _memory(pod.whole, None),
        "ephemeral-storage": _used(filesystems.node, total, now),
        "process_stats": {"process_count": pod.whole.figures.processes},
    }
    if pod.interfaces:
        found["network"] = _network(pod.interfaces, now)
    return found


def _container(
    name: str,
    container: SeenContainer,
    sample: Sample,
    layer: Used,
    logs: Used,
    filesystems: Filesystems,
) -> Obj:
    now = format_time(sample.at)
    return {
        "name": name,
        "startTime": format_time(container.started_at),
        "cpu": _cpu(sample),
        "memory": _memory(sample, None),
        "rootfs": _used(filesystems.images, layer, now),
        "logs": _used(filesystems.node, logs, now),
        "swap": {"time": now, "swapUsageBytes": 0},
    }


def _cpu(sample: Sample) -> Obj:
    found: Obj = {"time": format_time(sample.at)}
    if sample.nano_cores is not None:
        found["usageNanoCores"] = sample.nano_cores
    found["usageCoreNanoSeconds"] = sample.figures.cpu_nanos
    return found


def _memory(sample: Sample, capacity: int | None) -> Obj:
    figures = sample.figures
    found: Obj = {"time": format_time(sample.at)}
    bound = figures.memory_limit or capacity
    if bound is not None:
        found["availableBytes"] = max(0, bound - figures.working_set)
    return {
        **found,
        "usageBytes": figures.memory_usage,
        "workingSetBytes": figures.working_set,
        "rssBytes": figures.rss,
        "pageFaults": figures.page_faults,
        "majorPageFaults": figures.major_page_faults,
    }


def _network(interfaces: Sequence[Interface], now: str) -> Obj:
    """The first interface (eth0 where there is one) stands for the whole."""
    listed = [
        {
            "name": interface.name,
            "rxBytes": interface.rx_bytes,
            "rxErrors": interface.rx_errors,
            "txBytes": interface.tx_bytes,
            "txErrors": interface.tx_errors,
        }
        for interface in interfaces
    ]
    first: Obj = next((i for i in listed if i["name"] == "eth0"), listed[0] if listed else {})
    return {"time": now, **first, "interfaces": listed}


def _room(room: Room, now: str) -> Obj:
    return {
        "time": now,
        "availableBytes": room.available,
        "capacityBytes": room.capacity,
        "usedBytes": room.used,
        "inodesFree": room.inodes_free,
        "inodes": room.inodes,
        "inodesUsed": room.inodes - room.inodes_free,
    }


def _used(room: Room, used: Used, now: str) -> Obj:
    return {**_room(room, now), "usedBytes": used.size, "inodesUsed": used.inodes}
