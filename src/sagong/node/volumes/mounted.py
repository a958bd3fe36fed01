"""A volume that is ready to be bound into containers."""

from dataclasses import dataclass
from pathlib import Path

from sagong.api.types import Obj


@dataclass(frozen=True, slots=True)
class Mounted:
    """``path`` on the node; ``read_only`` whatever the mount in the container says."""

    path: Path
    read_only: bool = False
    group: int | None = None  # a group that processes must have besides (pv.beta.kubernetes.io/gid)
    image: Obj | None = None  # an image volume's source; it comes to ``path`` when it is needed
    is_device: bool = False  # volumeMode Block: ``path`` leads to a block device
