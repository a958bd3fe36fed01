"""What CSI volumes are mounted for which pods, on disk: found again after any crash.

One record a pod and volume, written before the first call to the driver and removed after the
last. The layout is upstream's, whose paths drivers expect in their containers' mounts:

    <root>/pods/<uid>/volumes/kubernetes.io~csi/<volume>/{vol_data.json,mount}
    <root>/plugins/kubernetes.io/csi/<driver>/<sha256 of handle>/{vol_data.json,globalmount}
    <root>/plugins/kubernetes.io/csi/volumeDevices/{staging/<volume>,publish/<volume>/<uid>}
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from sagong.node.csi.source import CsiSource

_DATA = "vol_data.json"
_VOLUMES = Path("volumes", "kubernetes.io~csi")
_PLUGIN = Path("plugins", "kubernetes.io", "csi")


@dataclass(frozen=True, slots=True)
class CsiRecord:
    """Names of fields are those of upstream's file, with the paths besides."""

    specVolID: str
    driverName: str
    volumeHandle: str
    nodeName: str
    volumeLifecycleMode: str
    attachmentID: str
    volumeMode: str
    targetPath: str
    stagingPath: str

    @property
    def key(self) -> tuple[str, str]:
        return self.driverName, self.volumeHandle

    @property
    def unique_name(self) -> str:
        return f"kubernetes.io/csi/{self.driverName}^{self.volumeHandle}"

    @property
    def target(self) -> Path:
        return Path(self.targetPath)

    @property
    def staging(self) -> Path | None:
        return Path(self.stagingPath) if self.stagingPath else None


@dataclass(frozen=True, slots=True)
class CsiPlaces:
    """Where things lie below the agent's data directory."""

    root: Path

    def pod_dir(self, pod_uid: str) -> Path:
        return self.root / "pods" / pod_uid

    def volume_dir(self, pod_uid: str, name: str) -> Path:
        return self.pod_dir(pod_uid) / _VOLUMES / name

    def target(self, pod_uid: str, source: CsiSource) -> Path:
        if source.is_block:
            return self.root / _PLUGIN / "volumeDevices" / "publish" / source.name / pod_uid
        return self.volume_dir(pod_uid, source.name) / "mount"

    def staging(self, source: CsiSource) -> Path:
        if source.is_block:
            return self.root / _PLUGIN / "volumeDevices" / "staging" / source.name
        digest = hashlib.sha256(source.handle.encode()).hexdigest()
        return self.root / _PLUGIN / source.driver / digest / "globalmount"

    def all_records(self) -> Iterator[tuple[Path, CsiRecord]]:
        """Of every pod on this node, with the directories they lie in."""
        pods = self.root / "pods"
        for entry in os.scandir(pods) if pods.is_dir() else ():
            yield from records_of(Path(entry.path))


def records_of(pod_dir: Path) -> Iterator[tuple[Path, CsiRecord]]:
    """Of one pod."""
    volumes = pod_dir / _VOLUMES
    for entry in sorted(volumes.iterdir()) if volumes.is_dir() else ():
        record = _read(entry / _DATA)
        if record is not None:
            yield entry, record


def _read(path: Path) -> CsiRecord | None:
    try:
        fields: dict[str, Any] = orjson.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    return CsiRecord(**fields)


def write_record(directory: Path, record: CsiRecord) -> None:
    """Whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o750)
    temporary = directory / f".{_DATA}"
    temporary.write_bytes(orjson.dumps(asdict(record)))
    temporary.replace(directory / _DATA)


def remove_record(directory: Path) -> None:
    (directory / _DATA).unlink(missing_ok=True)
    directory.rmdir()
