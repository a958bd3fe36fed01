"""What happens in the cluster, in the words of queueing hints."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from sagong.api.types import Obj
from sagong.scheduler.columns import NodeFacts
from sagong.scheduler.pod import PodFacts


class Storage(Enum):
    """Objects of storage, as far as plugins tell them apart."""

    CLAIM = "persistentvolumeclaims"
    VOLUME = "persistentvolumes"
    CLASS = "storageclasses.storage.k8s.io"
    NODE = "csinodes.storage.k8s.io"
    DRIVER = "csidrivers.storage.k8s.io"
    CAPACITY = "csistoragecapacities.storage.k8s.io"


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A node came (no old), changed, or went (no new)."""

    old: NodeFacts | None
    new: NodeFacts | None


@dataclass(frozen=True, slots=True)
class PodChanged:
    """A pod came to a node (no old), changed there, or left it (no new)."""

    old: PodFacts | None
    new: PodFacts | None


@dataclass(frozen=True, slots=True)
class StorageChanged:
    kind: Storage
    old: Obj | None
    new: Obj | None


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """A ResourceClaim, ResourceSlice or DeviceClass came, changed or went."""

    resource: str
    old: Obj | None
    new: Obj | None


@dataclass(frozen=True, slots=True)
class Anything:
    """Something that may help whoever waits: an assumption was taken back, say."""


Happening = NodeChanged | PodChanged | StorageChanged | DevicesChanged | Anything
Labels = Mapping[str, str]
