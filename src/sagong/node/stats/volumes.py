"""What pods' volumes hold, for ``/stats/summary`` and the kubelet's volume metrics.

Directories of pods are measured by their files, filesystems of their own by statfs, CSI volumes by
their drivers where these can. Figures are kept for a minute, as upstream's.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagong.api.types import Obj
from sagong.core.clock import Clock, format_time
from sagong.node.agent import NodeAgent
from sagong.node.csi.driver import VOLUME_CONDITION, VOLUME_STATS, csi_messages
from sagong.node.csi.records import CsiRecord, records_of
from sagong.node.disk_usage import used_by_tree
from sagong.node.plugins.channel import PluginFailure
from sagong.node.pods.worker import PodWorker
from sagong.node.stats.exposition import Exposition
from sagong.node.volumes.mounted import Mounted
from sagong.node.volumes.payload_sources import PAYLOAD_VOLUMES
from sagong.node.volumes.persistent_claim import claim_name

AGE_SECONDS = 60.0  # upstream's volumeStatsAggPeriod
CSI_SECONDS = 10.0
_UNIT = "VolumeUsage.Unit"


@dataclass(frozen=True, slots=True)
class VolumeFigures:
    """One volume of one pod; None is what nobody can tell."""

    name: str
    claim: str  # the claim's name, "" if the volume has none
    bytes_total: int | None = None
    bytes_free: int | None = None
    bytes_used: int | None = None
    inodes_total: int | None = None
    inodes_free: int | None = None
    inodes_used: int | None = None
    abnormal: bool | None = None

    def as_obj(self, namespace: str, now: str) -> Obj:
        """``VolumeStats`` of the kubelet's stats/v1alpha1."""
        figures = {
            "availableBytes": self.bytes_free,
            "capacityBytes": self.bytes_total,
            "usedBytes": self.bytes_used,
            "inodesFree": self.inodes_free,
            "inodes": self.inodes_total,
            "inodesUsed": self.inodes_used,
        }
        found: Obj = {"time": now, "name": self.name}
        found |= {key: value for key, value in figures.items() if value is not None}
        if self.claim:
            found["pvcRef"] = {"name": self.claim, "namespace": namespace}
        if self.abnormal is not None:
            found["volumeHealthStats"] = {"abnormal": self.abnormal}
        return found


@dataclass(slots=True)
class VolumeMeter:
    """One an agent."""

    agent: NodeAgent
    clock: Clock
    _kept: dict[str, tuple[float, Sequence[VolumeFigures]]] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # one measurement at a time

    async def of_pods(self) -> Mapping[str, Sequence[VolumeFigures]]:
        """By the pods' uids."""
        async with self._lock:
            workers = dict(self.agent.workers)
            for uid in self._kept.keys() - workers.keys():
                del self._kept[uid]
            for uid, worker in workers.items():
                at, _ = self._kept.get(uid, (0.0, ()))
                now = self.clock.monotonic()
                if worker.volumes and (uid not in self._kept or now - at > AGE_SECONDS):
                    self._kept[uid] = now, await self._measure(worker)
        return {uid: figures for uid, (_, figures) in self._kept.items()}

    async def _measure(self, worker: PodWorker) -> Sequence[VolumeFigures]:
        records = {r.targetPath: r for _, r in records_of(self.agent.config.pod_dir(worker.uid))}
        found = []
        for volume in worker.pod["spec"].get("volumes") or []:
            mounted = (worker.volumes or {}).get(volume["name"])
            if mounted is None or mounted.is_device or not _is_measured(volume, worker.pod):
                continue
            claim = claim_name(volume, worker.pod) or ""
            record = records.get(str(mounted.path))
            figures = None
            if record is not None:
                figures = await self._by_driver(record, mounted, volume["name"], claim)
            if figures is None:
                measure = _by_files if _is_directory_of_pod(volume) else _by_filesystem
                figures = await asyncio.to_thread(measure, mounted.path, volume["name"], claim)
            if figures is not None:
                found.append(figures)
        return found

    async def _by_driver(
        self, record: CsiRecord, mounted: Mounted, name: str, claim: str
    ) -> VolumeFigures | None:
        """None if the driver cannot tell."""
        try:
            async with asyncio.timeout(CSI_SECONDS):
                driver = self.agent.storage.drivers.get(record.driverName)
                if not await driver.can(VOLUME_STATS):
                    return None
                answer = await driver.stats(record.volumeHandle, mounted.path, record.staging)
                tells_condition = await driver.can(VOLUME_CONDITION)
        except (PluginFailure, TimeoutError):
            return None
        usage = {u.unit: u for u in answer.usage}
        bytes_ = usage.get(csi_messages().enum_number(_UNIT, "BYTES"))
        inodes = usage.get(csi_messages().enum_number(_UNIT, "INODES"))
        return VolumeFigures(
            name,
            claim,
            *_of_usage(bytes_),
            *_of_usage(inodes),
            abnormal=answer.volume_condition.abnormal if tells_condition else None,
        )


def _of_usage(usage: Any) -> tuple[int | None, int | None, int | None]:
    return (usage.total, usage.available, usage.used) if usage is not None else (None, None, None)


def _is_measured(volume: Obj, pod: Obj) -> bool:
    kinds = {"emptyDir", "csi", *PAYLOAD_VOLUMES}
    return bool(kinds & set(volume)) or claim_name(volume, pod) is not None


def _is_directory_of_pod(volume: Obj) -> bool:
    medium = (volume.get("emptyDir") or {}).get("medium")
    return bool({"emptyDir", *PAYLOAD_VOLUMES} & set(volume)) and not medium


def _by_filesystem(path: Path, name: str, claim: str) -> VolumeFigures | None:
    try:
        found = os.statvfs(path)
    except OSError:
        return None  # torn down meanwhile
    size = found.f_frsize
    return VolumeFigures(
        name,
        claim,
        bytes_total=found.f_blocks * size,
        bytes_free=found.f_bavail * size,
        bytes_used=(found.f_blocks - found.f_bfree) * size,
        inodes_total=found.f_files,
        inodes_free=found.f_ffree,
        inodes_used=found.f_files - found.f_ffree,
    )


def _by_files(path: Path, name: str, claim: str) -> VolumeFigures | None:
    """The filesystem's room, and what the volume's own files take."""
    whole = _by_filesystem(path, name, claim)
    if whole is None:
        return None
    used = used_by_tree(path)
    return VolumeFigures(
        name,
        claim,
        bytes_total=whole.bytes_total,
        bytes_free=whole.bytes_free,
        bytes_used=used.size,
        inodes_total=whole.inodes_total,
        inodes_free=whole.inodes_free,
        inodes_used=used.inodes,
    )


def with_volumes(summary: Obj, figures: Mapping[str, Sequence[VolumeFigures]], now: float) -> Obj:
    """A summary whose pods tell of their volumes."""
    for pod in summary["pods"]:
        reference, stamp = pod["podRef"], format_time(now)
        listed = figures.get(reference["uid"]) or ()
        pod["volume"] = [f.as_obj(reference["namespace"], stamp) for f in listed]
    return summary


_METRICS = {
    "available_bytes": ("bytes_free", "Number of available bytes in the volume"),
    "capacity_bytes": ("bytes_total", "Capacity in bytes of the volume"),
    "inodes": ("inodes_total", "Maximum number of inodes in the volume"),
    "inodes_free": ("inodes_free", "Number of free inodes in the volume"),
    "inodes_used": ("inodes_used", "Number of used inodes in the volume"),
    "used_bytes": ("bytes_used", "Number of used bytes in the volume"),
    "health_status_abnormal": (
        "abnormal",
        "Abnormal volume health status. The count is either 1 or 0. 1 indicates the volume is "
        "unhealthy, 0 indicates volume is healthy",
    ),
}


def expose_claims(
    exposition: Exposition, pods: Sequence[Obj], figures: Mapping[str, Sequence[VolumeFigures]]
) -> None:
    """``kubelet_volume_stats_*``: one sample a claim, whichever pods use it."""
    claims = {
        (pod["metadata"]["namespace"], found.claim): found
        for pod in pods
        for found in figures.get(pod["metadata"]["uid"]) or ()
        if found.claim
    }
    for suffix, (attribute, text) in _METRICS.items():
        name = f"kubelet_volume_stats_{suffix}"
        exposition.family(name, "gauge", f"[ALPHA] {text}")
        for (namespace, claim), found in sorted(claims.items()):
            value = getattr(found, attribute)
            if value is not None:
                labels = {"namespace": namespace, "persistentvolumeclaim": claim}
                exposition.sample(name, int(value), labels)
