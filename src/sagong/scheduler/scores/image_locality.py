"""Prefer nodes that already hold the pod's large images."""

import numpy as np

from sagong.scheduler.columns import At, Ints, Mask
from sagong.scheduler.plugin import SCORE_MAX, Cycle, Scope, Score

_MEGABYTE = 1024 * 1024
_LEAST = 23 * _MEGABYTE  # below it an image is not worth a preference
_MOST_PER_CONTAINER = 1000 * _MEGABYTE


def normalized_name(image: str) -> str:
    """With the tag ``latest`` where none is given."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"


def _raw(cycle: Cycle, at: At, feasible: Mask) -> Ints | None:
    columns = cycle.state.columns
    wanted = [normalized_name(image) for image in cycle.template.images]
    held = [columns.images[image] for image in wanted if image in columns.images]
    if not held:
        return None
    total = np.zeros(columns.size, np.int64)
    for holders in held:
        # An image that few nodes hold counts for less, lest everything gathers there.
        rarity = len(holders) / max(len(columns), 1)
        for slot, size in holders.items():
            total[slot] += int(size * rarity)
    most = _MOST_PER_CONTAINER * max(len(wanted), 1)
    bounded = np.clip(total[at], _LEAST, most)
    return SCORE_MAX * (bounded - _LEAST) // (most - _LEAST)


SCORE = Score("ImageLocality", Scope.NODES, _raw)
