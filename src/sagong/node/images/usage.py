"""How full the disk is, and which images must go for it. Pure but for one read."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskUsage:
    capacity_bytes: int
    available_bytes: int


def read_disk_usage(path: Path) -> DiskUsage:
    usage = shutil.disk_usage(path)
    return DiskUsage(usage.total, usage.free)


def plan_removals(
    usage: DiskUsage,
    unused: Mapping[str, int],
    last_used: Mapping[str, float],
    *,
    high_percent: int,
    low_percent: int,
) -> Sequence[str]:
    """Images to remove, least recently used first, until the low mark is reached.

    ``unused`` gives the size of each image that may go; nothing is done below the high mark.
    """
    percent = 100 - usage.available_bytes * 100 // max(usage.capacity_bytes, 1)
    if percent < high_percent:
        return []
    to_free = usage.capacity_bytes * (100 - low_percent) // 100 - usage.available_bytes
    chosen = []
    for image_id in sorted(unused, key=lambda image_id: (last_used.get(image_id, 0.0), image_id)):
        if to_free <= 0:
            break
        chosen.append(image_id)
        to_free -= unused[image_id]
    return chosen
